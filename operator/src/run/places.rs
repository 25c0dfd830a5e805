//! How many Shops are worked on at a time. Each reconcile begins in a quick place. One that takes long moves to a slow place, so
//! that Shops that hang do not hold up those that do not. Both are bounded, and each namespace has a bound of its own in both,
//! because what is worked on costs memory here and requests at the API server. The price: Shops that hang in more namespaces than
//! fill the slow places keep quick ones too, each for ten seconds before it waits out its back-off.

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::lock::lock;

const QUICK: Bounds = Bounds {
    in_all: 64,
    per_namespace: 8,
};
const SLOW: Bounds = Bounds {
    in_all: 128,
    per_namespace: 16,
};
const TIMES: Times = Times {
    slow_after: Duration::from_secs(3),
    // How much longer a quick place is kept where the slow ones are full.
    waits_for_slow: Duration::from_secs(7),
};

#[derive(Clone, Copy)]
struct Bounds {
    in_all: usize,
    per_namespace: usize,
}

#[derive(Clone, Copy)]
struct Times {
    /// What takes longer is slow.
    slow_after: Duration,
    /// What is slow and finds no slow place goes on in its quick one for this long, and no longer.
    waits_for_slow: Duration,
}

/// All places.
pub struct Places {
    quick: Class,
    slow: Arc<Class>,
    times: Times,
}

/// A quick place.
pub struct Place {
    quick: Permits,
    slow: Arc<Class>,
    namespace: String,
    times: Times,
}

impl Default for Places {
    fn default() -> Self {
        Self::new(QUICK, SLOW, TIMES)
    }
}

impl Places {
    fn new(quick: Bounds, slow: Bounds, times: Times) -> Self {
        Self {
            quick: Class::new(quick),
            slow: Arc::new(Class::new(slow)),
            times,
        }
    }

    /// Waits for a quick place. Who came first is served first, among the Shops of a namespace and then among namespaces.
    pub async fn take(&self, namespace: &str) -> Place {
        Place {
            quick: self.quick.take(namespace).await,
            slow: self.slow.clone(),
            namespace: namespace.to_owned(),
            times: self.times,
        }
    }
}

impl Place {
    /// Does the work, which may take `longest`, and gives the place back.
    ///
    /// # Errors
    /// The time after which the work was broken off: `longest`, or less where too many others are slow.
    pub async fn run<T>(
        self,
        longest: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Duration> {
        let mut work = pin!(work);
        let Times {
            slow_after,
            waits_for_slow,
        } = self.times;
        if let Ok(done) = timeout(slow_after, &mut work).await {
            return Ok(done);
        }
        let slow = tokio::select! {
            done = &mut work => return Ok(done),
            slow = timeout(waits_for_slow, self.slow.take(&self.namespace)) => slow,
        };
        let Ok(_slow) = slow else {
            return Err(slow_after + waits_for_slow);
        };
        drop(self.quick);
        let rest = longest.saturating_sub(slow_after);
        timeout(rest, work).await.map_err(|_| longest)
    }
}

/// Places of one class.
struct Class {
    in_all: Arc<Semaphore>,
    per_namespace: usize,
    /// Of the namespaces where somebody works or waits.
    namespaces: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A place of a class, until it is dropped.
struct Permits {
    _of_namespace: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Class {
    fn new(bounds: Bounds) -> Self {
        Self {
            in_all: Arc::new(Semaphore::new(bounds.in_all)),
            per_namespace: bounds.per_namespace,
            namespaces: Mutex::default(),
        }
    }

    async fn take(&self, namespace: &str) -> Permits {
        // The one of the namespace first: whoever waits for it keeps no other namespace waiting.
        Permits {
            _of_namespace: permit(self.of_namespace(namespace)).await,
            _of_all: permit(self.in_all.clone()).await,
        }
    }

    fn of_namespace(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = lock(&self.namespaces);
        if let Some(there) = namespaces.get(namespace).and_then(Weak::upgrade) {
            return there;
        }
        namespaces.retain(|_, semaphore| semaphore.strong_count() > 0);
        let new = Arc::new(Semaphore::new(self.per_namespace));
        namespaces.insert(namespace.to_owned(), Arc::downgrade(&new));
        new
    }
}

async fn permit(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = semaphore.acquire_owned().await;
    permit.expect("nothing here closes a semaphore")
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    fn bounds(in_all: usize, per_namespace: usize) -> Bounds {
        Bounds {
            in_all,
            per_namespace,
        }
    }

    /// What takes any time at all is slow.
    fn places(quick: Bounds, slow: Bounds, waits_for_slow: Duration) -> Places {
        let times = Times {
            slow_after: Duration::ZERO,
            waits_for_slow,
        };
        Places::new(quick, slow, times)
    }

    fn is_free(places: &Places, namespace: &str) -> bool {
        places.take(namespace).now_or_never().is_some()
    }

    /// Begins what never ends, and lets it come as far as it comes at once.
    async fn hang(places: &Places, namespace: &str) -> impl Future<Output = Result<(), Duration>> {
        let place = places.take(namespace).await;
        let mut work = Box::pin(place.run(LONGEST, pending()));
        // The timer of `slow_after` ends at the earliest a millisecond from now.
        let moment = Duration::from_millis(20);
        let _ = timeout(moment, &mut work).await;
        work
    }

    #[tokio::test]
    async fn a_full_namespace_leaves_the_others_theirs() {
        let places = places(bounds(3, 2), bounds(0, 0), LONGEST);
        let (_one, two) = (places.take("full").await, places.take("full").await);
        assert!(!is_free(&places, "full"));
        assert!(is_free(&places, "other"));
        assert_eq!(two.run(LONGEST, ready(7)).await, Ok(7));
        assert!(is_free(&places, "full"), "a place that is given back");
        let (_two, _three) = (places.take("full").await, places.take("other").await);
        assert!(!is_free(&places, "other"), "all are taken");
    }

    #[tokio::test]
    async fn what_is_slow_gives_its_quick_place_back() {
        let places = places(bounds(1, 1), bounds(1, 1), LONGEST);
        let _hangs = hang(&places, "a").await;
        assert!(is_free(&places, "a"));
        let _hangs_too = hang(&places, "a").await;
        assert!(!is_free(&places, "a"), "the slow places are full");
    }

    #[tokio::test]
    async fn what_is_slow_is_broken_off_where_it_finds_no_slow_place_in_time() {
        let moment = Duration::from_millis(1);
        let places = places(bounds(1, 1), bounds(0, 0), moment);
        let place = places.take("a").await;
        assert_eq!(place.run(LONGEST, pending::<()>()).await, Err(moment));
        assert!(is_free(&places, "a"));
    }

    #[tokio::test]
    async fn what_ends_while_it_waits_for_a_slow_place_has_ended_well() {
        let places = places(bounds(1, 1), bounds(0, 0), LONGEST);
        let work = tokio::time::sleep(Duration::from_millis(20));
        let place = places.take("a").await;
        assert_eq!(place.run(LONGEST, work).await, Ok(()));
    }

    #[tokio::test]
    async fn no_work_takes_longer_than_it_may() {
        let places = places(bounds(1, 1), bounds(1, 1), LONGEST);
        let longest = Duration::from_millis(20);
        let place = places.take("a").await;
        assert_eq!(place.run(longest, pending::<()>()).await, Err(longest));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_namespaces_where_nobody_works() {
        let places = Places::default();
        for namespace in ["a", "b", "c"] {
            drop(places.take(namespace).await);
        }
        assert_eq!(lock(&places.quick.namespaces).len(), 1);
    }
}
