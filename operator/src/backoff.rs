//! How long a Shop whose reconcile failed waits: longer with every failure, each Shop for itself, and no longer than it stays
//! as its user wrote it.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::lock::lock;

const FIRST: Duration = Duration::from_secs(1);
/// What was mended outside the Shop (a quota, a right) is noticed within this time.
const LONGEST: Duration = Duration::from_secs(60);

/// Namespace and name.
pub type Key = (String, String);

/// Stands for what a user wrote: another number, another Shop.
pub type Revision = u64;

/// The Shops whose last reconcile failed.
#[derive(Default)]
pub struct Backoffs(Mutex<HashMap<Key, Failing>>);

struct Failing {
    revision: Revision,
    /// In a row.
    times: u32,
    until: Instant,
}

impl Backoffs {
    /// How long this Shop must still wait, whatever asks for a reconcile; none when it need not.
    pub fn remaining(&self, key: &Key, revision: Revision, now: Instant) -> Option<Duration> {
        let failing = lock(&self.0);
        let entry = failing
            .get(key)
            .filter(|entry| entry.revision == revision && now < entry.until)?;
        Some(entry.until - now)
    }

    /// A reconcile failed: how long to wait. `jitter` is between 0 and 1.
    pub fn failed(&self, key: &Key, revision: Revision, now: Instant, jitter: f64) -> Duration {
        let mut failing = lock(&self.0);
        let times = failing
            .get(key)
            .filter(|entry| entry.revision == revision)
            .map_or(0, |entry| entry.times);
        let wait = FIRST
            .saturating_mul(2u32.saturating_pow(times))
            .min(LONGEST)
            .mul_f64(1.0 - 0.2 * jitter);
        let entry = Failing {
            revision,
            times: times.saturating_add(1),
            until: now + wait,
        };
        failing.insert(key.clone(), entry);
        wait
    }

    /// A reconcile succeeded, or the Shop is gone.
    pub fn clear(&self, key: &Key) {
        lock(&self.0).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("demo".into(), name.into())
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_longest() {
        let backoffs = Backoffs::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = backoffs.failed(&key("a"), 1, now, 0.0);
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn it_waits_until_the_time_is_over_or_the_user_changed_something() {
        let backoffs = Backoffs::default();
        let (a, now) = (key("a"), Instant::now());
        assert_eq!(backoffs.remaining(&a, 1, now), None);
        assert_eq!(backoffs.failed(&a, 1, now, 0.0), FIRST);
        let half = FIRST / 2;
        assert_eq!(backoffs.remaining(&a, 1, now + half), Some(half));
        assert_eq!(backoffs.remaining(&a, 1, now + FIRST), None);
        assert_eq!(backoffs.remaining(&a, 2, now), None, "it was changed");
        backoffs.failed(&a, 1, now, 0.0);
        assert_eq!(
            backoffs.failed(&a, 2, now, 0.0),
            FIRST,
            "what was changed starts over"
        );
    }

    #[test]
    fn success_starts_over_and_shops_do_not_share() {
        let backoffs = Backoffs::default();
        let now = Instant::now();
        backoffs.failed(&key("a"), 1, now, 0.0);
        assert_eq!(backoffs.failed(&key("b"), 1, now, 0.0), FIRST);
        backoffs.clear(&key("a"));
        assert_eq!(backoffs.remaining(&key("a"), 1, now), None);
        assert_eq!(backoffs.failed(&key("a"), 1, now, 0.0), FIRST);
        backoffs.clear(&key("a"));
        backoffs.clear(&key("b"));
        assert!(lock(&backoffs.0).is_empty(), "nothing is kept of them");
    }
}
