//! When to try again. Pure: time and chance are arguments.

use std::time::Duration;

use chassis::backoff::{Backoff, spread};

/// A server that defers a mail for days is believed; then the mail counts as failed (RFC 5321 section 4.5.4.1: four to five
/// days).
const LIFETIME: Duration = Duration::from_secs(4 * 24 * 60 * 60);
const FIRST_MAIL_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_MAIL_PAUSE: Duration = Duration::from_secs(15 * 60);
/// While the server cannot be reached. It holds for every mail at once.
pub(crate) const SERVER: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
};

/// The pause after a mail that has waited in the queue for `age` was put off: as long again as it has waited, within bounds,
/// so that pauses double. `chance` (0..1) spreads mails that were put off together.
pub(crate) fn mail_pause(age: Duration, chance: f64) -> Duration {
    spread(age.clamp(FIRST_MAIL_PAUSE, LONGEST_MAIL_PAUSE), chance)
}

/// Whether a mail of this age that the server still puts off is given up.
pub(crate) fn is_expired(age: Duration) -> bool {
    age >= LIFETIME
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn pauses_grow_to_a_limit() {
        let pause = |seconds| mail_pause(Duration::from_secs(seconds), 1.0).as_secs();
        assert_eq!(
            [0, 5, 10, 40, 900, 90_000].map(pause),
            [5, 5, 10, 40, 900, 900]
        );
        assert_eq!(SERVER.pause(1, 1.0), Duration::from_millis(500));
        assert_eq!(SERVER.pause(4, 1.0), Duration::from_secs(4));
        assert_eq!(SERVER.pause(u32::MAX, 1.0), Duration::from_secs(30));
    }

    #[test]
    fn chance_shortens_a_pause_by_half_at_most() {
        assert_eq!(mail_pause(Duration::ZERO, 0.0), FIRST_MAIL_PAUSE / 2);
        assert_eq!(mail_pause(Duration::ZERO, 7.0), FIRST_MAIL_PAUSE);
    }

    #[test]
    fn a_mail_is_given_up_after_four_days() {
        assert!(!is_expired(LIFETIME - HOUR));
        assert!(is_expired(LIFETIME));
    }
}
