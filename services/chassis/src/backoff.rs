//! How long to wait before something is tried again. Pure: chance is an argument.

use std::time::Duration;

/// Pauses that double from failure to failure.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// The pause after so many failures in a row (1 and more), [`spread`] by `chance`.
    pub fn pause(self, failures: u32, chance: f64) -> Duration {
        let times = 2u32.saturating_pow(failures.saturating_sub(1));
        spread(self.first.saturating_mul(times).min(self.longest), chance)
    }
}

/// Between half of the pause and all of it: `chance` (0 to 1) keeps apart those who failed together.
pub fn spread(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread_out() {
        let backoff = Backoff {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(1),
        };
        let ms = |failures, chance| backoff.pause(failures, chance).as_millis();
        assert_eq!(ms(0, 1.0), 50);
        assert_eq!(ms(1, 1.0), 50);
        assert_eq!(ms(1, 0.0), 25);
        assert_eq!(ms(3, 1.0), 200);
        assert_eq!(ms(6, 1.0), 1_000);
        assert_eq!(ms(u32::MAX, 0.5), 750);
        assert_eq!(ms(1, 7.0), 50);
    }
}
