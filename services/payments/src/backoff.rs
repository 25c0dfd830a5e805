//! When the provider is asked again.

use std::time::Duration;

/// The first pause before the provider is asked again; it doubles from time to time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// From so many unclear answers on, a person may want to look.
pub(crate) const WORRYING: u32 = 5;

/// How long to wait before the provider is asked again, after `unclear` unclear answers before this one. `random` (0 to
/// 1) spreads the questions out: the pause is between half and all of what the doubling gives.
pub(crate) fn pause(unclear: u32, random: f64) -> Duration {
    let doubled = PAUSE_MIN
        .saturating_mul(1 << unclear.min(16))
        .min(PAUSE_MAX);
    doubled.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_spread_out() {
        let seconds = |unclear, random| pause(unclear, random).as_secs_f64();
        assert_eq!(seconds(0, 1.0), 1.0);
        assert_eq!(seconds(0, 0.0), 0.5);
        assert_eq!(seconds(3, 1.0), 8.0);
        assert_eq!(seconds(9, 1.0), 300.0);
        assert_eq!(seconds(u32::MAX, 0.5), 225.0);
    }
}
