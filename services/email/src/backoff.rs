//! When to try again. Pure: time and chance are arguments.

use std::time::Duration;

/// A server that defers a mail for days is believed; then the mail counts as failed (RFC 5321 section 4.5.4.1: four to five
/// days).
const LIFETIME: Duration = Duration::from_secs(4 * 24 * 60 * 60);
const FIRST_MAIL_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_MAIL_PAUSE: Duration = Duration::from_secs(15 * 60);
const FIRST_SERVER_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_SERVER_PAUSE: Duration = Duration::from_secs(30);

/// The pause after a mail that has waited in the queue for `age` was put off: as long again as it has waited, within bounds,
/// so that pauses double. `chance` (0..1) spreads mails that were put off together.
pub(crate) fn mail_pause(age: Duration, chance: f64) -> Duration {
    spread(age.clamp(FIRST_MAIL_PAUSE, LONGEST_MAIL_PAUSE), chance)
}

/// Whether a mail of this age that the server still puts off is given up.
pub(crate) fn is_expired(age: Duration) -> bool {
    age >= LIFETIME
}

/// The pause after the server could not be reached `failures` times (1..) in a row. It holds for every mail at once.
pub(crate) fn server_pause(failures: u32, chance: f64) -> Duration {
    spread(
        doubled(FIRST_SERVER_PAUSE, failures).min(LONGEST_SERVER_PAUSE),
        chance,
    )
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times.saturating_sub(1)))
}

/// Between three quarters of the pause and all of it.
fn spread(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(0.75 + 0.25 * chance.clamp(0.0, 1.0))
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
        assert_eq!(server_pause(1, 1.0), FIRST_SERVER_PAUSE);
        assert_eq!(server_pause(4, 1.0), FIRST_SERVER_PAUSE * 8);
        assert_eq!(server_pause(u32::MAX, 1.0), LONGEST_SERVER_PAUSE);
        assert_eq!(server_pause(0, 1.0), FIRST_SERVER_PAUSE);
    }

    #[test]
    fn chance_shortens_a_pause_by_a_quarter_at_most() {
        let shortest = FIRST_MAIL_PAUSE.mul_f64(0.75);
        assert_eq!(mail_pause(Duration::ZERO, 0.0), shortest);
        assert_eq!(mail_pause(Duration::ZERO, 7.0), FIRST_MAIL_PAUSE);
    }

    #[test]
    fn a_mail_is_given_up_after_four_days() {
        assert!(!is_expired(LIFETIME - HOUR));
        assert!(is_expired(LIFETIME));
    }
}
