//! How long a Shop whose reconcile failed waits: longer with every failure, each Shop for itself.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::lock::lock;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row by the Shop's uid.
#[derive(Default)]
pub struct Backoffs(Mutex<HashMap<String, Failing>>);

struct Failing {
    times: u32,
    until: Instant,
}

impl Backoffs {
    /// A reconcile failed: how long to wait. A failure before the last wait was over does not count, because a watch
    /// may start reconciles at any time and they must not make the wait grow. `jitter` is between 0 and 1.
    pub fn failed(&self, uid: &str, now: Instant, jitter: f64) -> Duration {
        let mut failing = lock(&self.0);
        let entry = failing.entry(uid.to_owned()).or_insert(Failing {
            times: 0,
            until: now,
        });
        if entry.until > now {
            return entry.until - now;
        }
        let wait = FIRST
            .saturating_mul(2u32.saturating_pow(entry.times))
            .min(LONGEST);
        let wait = wait.mul_f64(1.0 - 0.2 * jitter);
        *entry = Failing {
            times: entry.times.saturating_add(1),
            until: now + wait,
        };
        wait
    }

    /// A reconcile succeeded, or the Shop is gone.
    pub fn clear(&self, uid: &str) {
        lock(&self.0).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_longest() {
        let backoffs = Backoffs::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = backoffs.failed("a", now, 0.0);
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn a_failure_during_the_wait_does_not_make_it_grow() {
        let backoffs = Backoffs::default();
        let now = Instant::now();
        assert_eq!(backoffs.failed("a", now, 0.0), FIRST);
        let half = FIRST / 2;
        for _ in 0..100 {
            assert_eq!(backoffs.failed("a", now + half, 0.0), half);
        }
        assert_eq!(backoffs.failed("a", now + FIRST, 0.0), FIRST * 2);
    }

    #[test]
    fn success_starts_over_and_shops_do_not_share() {
        let backoffs = Backoffs::default();
        let now = Instant::now();
        backoffs.failed("a", now, 0.0);
        assert_eq!(backoffs.failed("b", now, 0.0), FIRST);
        backoffs.clear("a");
        assert_eq!(backoffs.failed("a", now, 0.0), FIRST);
    }
}
