//! When a search ends that takes too long.

use std::time::{Duration, Instant};

use chassis::{CancellationToken, deadline};

/// The longest that a search may take once it has begun. A usual one takes about a millisecond; this is for a query that
/// matches nearly all of a very large catalogue beside other work.
const LONGEST: Duration = Duration::from_millis(500);
/// Kept back of the caller's time for the answer.
const TO_ANSWER: Duration = Duration::from_millis(50);

/// The time that a caller has for a search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// When the caller stops waiting.
    deadline: Option<Instant>,
}

impl Budget {
    /// Of the request that is being worked on.
    pub(crate) fn of_request() -> Self {
        Self {
            deadline: deadline::remaining()
                .map(|left| Instant::now() + left.saturating_sub(TO_ANSWER)),
        }
    }

    /// Begins to spend it. `abandoned` is cancelled when the caller leaves.
    pub(crate) fn begin(self, abandoned: CancellationToken) -> Cutoff {
        let longest = Instant::now() + LONGEST;
        Cutoff {
            at: self
                .deadline
                .map_or(longest, |deadline| deadline.min(longest)),
            abandoned,
        }
    }
}

/// The end of a search's time.
#[derive(Debug, Clone)]
pub(crate) struct Cutoff {
    at: Instant,
    abandoned: CancellationToken,
}

impl Cutoff {
    /// Only when `abandoned` is cancelled.
    #[cfg(test)]
    pub(crate) fn never(abandoned: CancellationToken) -> Self {
        let at = Instant::now() + Duration::from_secs(3600);
        Self { at, abandoned }
    }

    #[cfg(test)]
    pub(crate) fn after(time: Duration) -> Self {
        Self {
            at: Instant::now() + time,
            abandoned: CancellationToken::new(),
        }
    }

    /// Whether it is over, or nobody waits any more.
    pub(crate) fn is_over(&self) -> bool {
        self.abandoned.is_cancelled() || Instant::now() >= self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_search_ends_at_the_callers_deadline_at_its_own_or_when_the_caller_leaves() {
        let token = CancellationToken::new;
        assert!(!Budget { deadline: None }.begin(token()).is_over());
        let soon = Instant::now() + TO_ANSWER / 2;
        let budget = deadline::within(soon, async { Budget::of_request() }).await;
        assert!(budget.begin(token()).is_over(), "no time is left to search");
        let abandoned = token();
        let cutoff = Budget { deadline: None }.begin(abandoned.clone());
        abandoned.cancel();
        assert!(cutoff.is_over());
    }
}
