//! How long a Shop whose reconcile failed waits, or what was refused of it: longer with every failure, each Shop for itself, and no
//! longer than it stays as its user wrote it.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{lock::lock, refusals::Refusals};

const FIRST: Duration = Duration::from_secs(1);
/// What was mended outside the Shop (a quota, a right) is noticed within this time.
const LONGEST: Duration = Duration::from_secs(60);

/// Namespace and name.
pub type Key = (String, String);

/// Stands for what a user wrote: another number, another Shop.
pub type Revision = u64;

/// The Shops whose last reconcile failed, or was refused something.
#[derive(Default)]
pub struct Backoffs(Mutex<HashMap<Key, Failing>>);

/// What may be tried of a Shop now.
#[derive(Debug)]
pub enum Standing {
    /// Everything.
    Free,
    /// Everything but this.
    Withholds(Refusals),
    /// Nothing for so long, whatever asks for a reconcile.
    Waits(Duration),
}

struct Failing {
    revision: Revision,
    /// In a row.
    times: u32,
    until: Instant,
    /// None where the reconcile failed as a whole.
    refusals: Option<Refusals>,
}

impl Backoffs {
    /// What may be tried of this Shop now.
    pub fn standing(&self, key: &Key, revision: Revision, now: Instant) -> Standing {
        let failing = lock(&self.0);
        let entry = failing
            .get(key)
            .filter(|entry| entry.revision == revision && now < entry.until);
        match entry {
            None => Standing::Free,
            Some(Failing {
                refusals: Some(refusals),
                ..
            }) => Standing::Withholds(refusals.clone()),
            Some(Failing { until, .. }) => Standing::Waits(*until - now),
        }
    }

    /// What is left of the wait of this Shop, or of what was refused of it, whatever was changed meanwhile.
    pub fn rest(&self, key: &Key, now: Instant) -> Duration {
        let failing = lock(&self.0);
        let until = failing.get(key).map_or(now, |entry| entry.until);
        until.saturating_duration_since(now)
    }

    /// A reconcile failed: how long the Shop waits. `jitter` is between 0 and 1.
    pub fn failed(&self, key: &Key, revision: Revision, now: Instant, jitter: f64) -> Duration {
        self.begin(key, revision, None, now, jitter)
    }

    /// A reconcile that began at `began` ended, but these writes were refused, some of them perhaps before it began: how long they
    /// wait. What is refused while others wait is tried again together with them.
    pub fn refused(
        &self,
        key: &Key,
        revision: Revision,
        refusals: Refusals,
        began: Instant,
        now: Instant,
        jitter: f64,
    ) -> Duration {
        if let Some(waiting) = lock(&self.0).get_mut(key)
            && waiting.refusals.is_some()
            && waiting.revision == revision
            && began < waiting.until
        {
            waiting.refusals = Some(refusals);
            return waiting.until.saturating_duration_since(now);
        }
        self.begin(key, revision, Some(refusals), now, jitter)
    }

    fn begin(
        &self,
        key: &Key,
        revision: Revision,
        refusals: Option<Refusals>,
        now: Instant,
        jitter: f64,
    ) -> Duration {
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
            refusals,
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
    use crate::{error::Error, refusals::Failure};

    fn key(name: &str) -> Key {
        ("demo".into(), name.into())
    }

    /// How long the whole Shop waits.
    fn waits(backoffs: &Backoffs, key: &Key, revision: Revision, now: Instant) -> Option<Duration> {
        match backoffs.standing(key, revision, now) {
            Standing::Waits(wait) => Some(wait),
            Standing::Free | Standing::Withholds(_) => None,
        }
    }

    fn withholds(backoffs: &Backoffs, key: &Key, now: Instant, write: &str) -> bool {
        match backoffs.standing(key, 1, now) {
            Standing::Withholds(refusals) => refusals.contains(write),
            Standing::Free | Standing::Waits(_) => false,
        }
    }

    fn refusals(writes: &[&str]) -> Refusals {
        let failures = writes.iter().map(|write| Failure {
            service: None,
            write: (*write).into(),
            error: Error::Invalid("no".into()),
        });
        failures.collect::<Vec<_>>().iter().collect()
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
        assert_eq!(waits(&backoffs, &a, 1, now), None);
        assert_eq!(backoffs.failed(&a, 1, now, 0.0), FIRST);
        let half = FIRST / 2;
        assert_eq!(waits(&backoffs, &a, 1, now + half), Some(half));
        assert_eq!(waits(&backoffs, &a, 1, now + FIRST), None);
        assert_eq!(waits(&backoffs, &a, 2, now), None, "it was changed");
        backoffs.failed(&a, 1, now, 0.0);
        assert_eq!(
            backoffs.failed(&a, 2, now, 0.0),
            FIRST,
            "what was changed starts over"
        );
    }

    #[test]
    fn what_is_refused_waits_and_the_shop_does_not() {
        let backoffs = Backoffs::default();
        let (a, began) = (key("a"), Instant::now());
        let at = |millis| began + Duration::from_millis(millis);
        let refused =
            |writes, began, now| backoffs.refused(&a, 1, refusals(writes), began, now, 0.0);
        assert_eq!(refused(&["x"], began, began), FIRST);
        assert_eq!(waits(&backoffs, &a, 1, began), None);
        assert!(withholds(&backoffs, &a, at(999), "x"));
        assert!(!withholds(&backoffs, &a, at(999), "y"));

        let rest = refused(&["x", "y"], at(400), at(600));
        assert_eq!(rest, Duration::from_millis(400), "y is tried with x");
        assert!(withholds(&backoffs, &a, at(999), "y"));
        assert!(!withholds(&backoffs, &a, at(1000), "x"));
        assert_eq!(
            refused(&["x"], at(900), at(1100)),
            Duration::ZERO,
            "x was not tried in a reconcile that began before its time"
        );
        assert_eq!(refused(&["x"], at(1200), at(1200)), 2 * FIRST);
    }

    #[test]
    fn success_starts_over_and_shops_do_not_share() {
        let backoffs = Backoffs::default();
        let now = Instant::now();
        backoffs.failed(&key("a"), 1, now, 0.0);
        assert_eq!(backoffs.failed(&key("b"), 1, now, 0.0), FIRST);
        backoffs.clear(&key("a"));
        assert_eq!(waits(&backoffs, &key("a"), 1, now), None);
        assert_eq!(backoffs.failed(&key("a"), 1, now, 0.0), FIRST);
        backoffs.clear(&key("a"));
        backoffs.clear(&key("b"));
        assert!(lock(&backoffs.0).is_empty(), "nothing is kept of them");
    }
}
