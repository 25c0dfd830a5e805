//! How long the database is waited for.
//!
//! A busy database deserves a late answer: whoever waits in line gets what was asked for, and a 503 would only bring the
//! same request again. So the wait is as long as the caller's own: what is left of the request's deadline. An absent
//! database is known by other signs (a refused or silent connection, see [`super::Db::get`]) and needs no such wait.

use std::time::Duration;

use crate::deadline;

/// The longest wait for a place in the pool with a connection, and for the result of one statement, locks included. A
/// database that makes one request wait longer is not busy but stuck, and each request that waits takes one of the places
/// of the HTTP edge.
pub(super) const LONGEST: Duration = Duration::from_secs(10);
/// The shortest wait: what a healthy database may need in the ordinary course. The edge ends a request that has less left.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);
/// Kept back of the caller's time to say that the database is busy.
const TO_ANSWER: Duration = Duration::from_millis(100);

/// For work that nobody waits for: the longest wait for a connection; then for one statement, or for all statements of one
/// transaction together. Leases and the time that a stop leaves to such work are made of it.
pub const WITHOUT_CALLER: Duration = Duration::from_secs(3);

/// How long whoever asks now can wait.
pub(super) fn patience() -> Duration {
    patience_for(deadline::remaining())
}

fn patience_for(remaining: Option<Duration>) -> Duration {
    remaining
        .map_or(WITHOUT_CALLER, |left| left.saturating_sub(TO_ANSWER))
        .clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_the_callers_less_the_time_to_answer_within_bounds() {
        let ms = Duration::from_millis;
        assert_eq!(patience_for(None), WITHOUT_CALLER);
        assert_eq!(patience_for(Some(ms(30_000))), LONGEST);
        assert_eq!(patience_for(Some(ms(5_000))), ms(4_900));
        assert_eq!(patience_for(Some(ms(150))), SHORTEST);
        assert_eq!(patience_for(Some(ms(0))), SHORTEST);
    }
}
