//! How long a Shop whose reconcile failed waits, or what was refused of it: longer with every failure, each Shop for itself, and no
//! longer than it stays as its user wrote it.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{apply::refusals::Refusals, lock::lock};

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

/// What waits of a Shop, as its user wrote it.
struct Failing {
    revision: Revision,
    /// Since the last reconcile that did not fail as a whole.
    whole: Option<Wait>,
    /// Counted apart: what is refused for good says nothing of the next failure.
    refused: Option<(Wait, Refusals)>,
}

/// Until when, after so many failures in a row.
#[derive(Clone, Copy)]
struct Wait {
    times: u32,
    until: Instant,
}

impl Wait {
    fn after(previous: Option<Self>, now: Instant, jitter: f64) -> Self {
        let times = previous.map_or(0, |previous| previous.times);
        let wait = FIRST.saturating_mul(2u32.saturating_pow(times));
        Self {
            times: times.saturating_add(1),
            until: now + wait.min(LONGEST).mul_f64(1.0 - 0.2 * jitter),
        }
    }

    fn rest(self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }
}

impl Failing {
    fn new(revision: Revision) -> Self {
        Self {
            revision,
            whole: None,
            refused: None,
        }
    }

    fn standing(&self, now: Instant) -> Standing {
        match (&self.whole, &self.refused) {
            (Some(whole), _) if now < whole.until => Standing::Waits(whole.rest(now)),
            (_, Some((wait, refusals))) if now < wait.until => {
                Standing::Withholds(refusals.clone())
            }
            _ => Standing::Free,
        }
    }
}

impl Backoffs {
    /// What may be tried of this Shop now.
    pub fn standing(&self, key: &Key, revision: Revision, now: Instant) -> Standing {
        let failing = lock(&self.0);
        let entry = failing.get(key).filter(|entry| entry.revision == revision);
        entry.map_or(Standing::Free, |entry| entry.standing(now))
    }

    /// What is left of the wait of this Shop, whatever was changed meanwhile.
    pub fn rest(&self, key: &Key, now: Instant) -> Duration {
        let failing = lock(&self.0);
        let wait = failing.get(key).and_then(|entry| entry.whole);
        wait.map_or(Duration::ZERO, |wait| wait.rest(now))
    }

    /// A reconcile failed: how long the Shop waits. `jitter` is between 0 and 1.
    pub fn failed(&self, key: &Key, revision: Revision, now: Instant, jitter: f64) -> Duration {
        self.with(key, revision, |failing| {
            let wait = Wait::after(failing.whole, now, jitter);
            failing.whole = Some(wait);
            wait.rest(now)
        })
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
        self.with(key, revision, |failing| {
            failing.whole = None;
            let previous = failing.refused.as_ref().map(|(wait, _)| *wait);
            let wait = match previous {
                Some(waiting) if began < waiting.until => waiting,
                Some(_) | None => Wait::after(previous, now, jitter),
            };
            failing.refused = Some((wait, refusals));
            wait.rest(now)
        })
    }

    /// What was changed starts over.
    fn with<T>(&self, key: &Key, revision: Revision, note: impl FnOnce(&mut Failing) -> T) -> T {
        let mut failing = lock(&self.0);
        let entry = failing.entry(key.clone());
        let entry = entry.or_insert_with(|| Failing::new(revision));
        if entry.revision != revision {
            *entry = Failing::new(revision);
        }
        note(entry)
    }

    /// A reconcile succeeded, or the Shop is gone.
    pub fn clear(&self, key: &Key) {
        lock(&self.0).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{apply::refusals::Failure, error::Error};

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
            part: crate::naming::labels::Part::Broker,
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
    fn what_is_refused_for_good_does_not_lengthen_the_wait_of_other_failures() {
        let backoffs = Backoffs::default();
        let (a, mut now) = (key("a"), Instant::now());
        for _ in 0..7 {
            now += backoffs.refused(&a, 1, refusals(&["x"]), now, now, 0.0);
        }
        let long = backoffs.refused(&a, 1, refusals(&["x"]), now, now, 0.0);
        assert_eq!(long, LONGEST);
        assert_eq!(backoffs.failed(&a, 1, now, 0.0), FIRST);
        assert_eq!(waits(&backoffs, &a, 1, now), Some(FIRST));
        now += FIRST;
        assert!(withholds(&backoffs, &a, now, "x"), "x waits on");
        assert_eq!(backoffs.failed(&a, 1, now, 0.0), 2 * FIRST);
        backoffs.refused(&a, 1, refusals(&["x"]), now, now, 0.0);
        assert_eq!(
            backoffs.failed(&a, 1, now, 0.0),
            FIRST,
            "it went well meanwhile"
        );
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
