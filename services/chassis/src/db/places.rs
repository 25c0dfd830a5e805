//! The line for connections: as many places as the process may have connections, less those that the server does not give
//! at the moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Between two tries for a connection that the server does not give. It doubles from try to try.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Whoever has a place may ask the pool for a connection. A place that came to none is held back, and given back after a
/// pause: so a server that refuses is asked again by one at a time, however many wait, and the others share the connections
/// that there are.
pub(super) struct Places {
    free: Arc<Semaphore>,
    held_back: Mutex<HeldBack>,
}

#[derive(Default)]
struct HeldBack {
    places: Vec<OwnedSemaphorePermit>,
    /// Since the server gave a connection.
    tries: u32,
    /// Whether a task gives them back.
    has_task: bool,
}

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            held_back: Mutex::default(),
        })
    }

    /// Waits in line for a place.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.free.clone().acquire_owned().await
    }

    /// Keeps a place out of use that came to no connection. Within a runtime only.
    pub(super) fn hold_back(self: &Arc<Self>, place: OwnedSemaphorePermit) {
        let mut held_back = self.lock();
        held_back.places.push(place);
        if !held_back.has_task {
            held_back.has_task = true;
            tokio::spawn(self.clone().give_back());
        }
    }

    /// The server gives connections again: the next tries come soon.
    pub(super) fn served(&self) {
        self.lock().tries = 0;
    }

    async fn give_back(self: Arc<Self>) {
        loop {
            let pause = {
                let mut held_back = self.lock();
                held_back.tries = held_back.tries.saturating_add(1);
                pause(held_back.tries, rand::random())
            };
            tokio::time::sleep(pause).await;
            let mut held_back = self.lock();
            let place = held_back.places.pop();
            held_back.has_task = !held_back.places.is_empty();
            drop(place);
            if !held_back.has_task {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeldBack> {
        self.held_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause before the try of this number, counted from 1. `random` (0 to 1) spreads the replicas out: it is between half and
/// all of what the doubling gives.
fn pause(tries: u32, random: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(8));
    doubled
        .min(PAUSE_MAX)
        .mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_are_spread_out() {
        let ms = |tries, random| pause(tries, random).as_millis();
        assert_eq!(ms(1, 1.0), 50);
        assert_eq!(ms(1, 0.0), 25);
        assert_eq!(ms(3, 1.0), 200);
        assert_eq!(ms(6, 1.0), 1_000);
        assert_eq!(ms(u32::MAX, 0.5), 750);
    }
}
