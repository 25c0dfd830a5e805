//! Lines that would come a thousand times a second come once in a while, with the number of those left out.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Decides for one place in the code whether to write its line now.
pub(crate) struct LogLimit(Mutex<State>);

struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State {
            last: None,
            left_out: 0,
        }))
    }

    /// `Some` when the line is due, with how many were left out since the one before.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state
            .last
            .is_some_and(|last| now.duration_since(last) < PAUSE)
        {
            state.left_out += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_comes_at_once_and_the_next_says_what_was_left_out() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        assert_eq!(limit.due_at(start), Some(0));
        for _ in 0..3_881 {
            assert_eq!(limit.due_at(start + PAUSE / 2), None);
        }
        assert_eq!(limit.due_at(start + PAUSE), Some(3_881));
        assert_eq!(limit.due_at(start + PAUSE * 2), Some(0));
    }
}
