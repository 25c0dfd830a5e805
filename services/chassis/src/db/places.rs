//! The line for connections: as many places as the process may have connections, less those that the server does not give
//! at the moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::backoff::Backoff;

/// Between two tries for a connection that the server does not give.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(1),
};

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
                BACKOFF.pause(held_back.tries, rand::random())
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
