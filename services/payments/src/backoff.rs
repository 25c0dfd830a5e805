//! When the provider is asked again.

use std::time::Duration;

use chassis::backoff::Backoff;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};
/// From so many unclear answers on, a person may want to look.
pub(crate) const WORRYING: u32 = 5;

/// How long to wait before the provider is asked again, after `unclear` unclear answers before this one.
pub(crate) fn pause(unclear: u32, chance: f64) -> Duration {
    BACKOFF.pause(unclear.saturating_add(1), chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_spread_out() {
        let seconds = |unclear, chance| pause(unclear, chance).as_secs_f64();
        assert_eq!(seconds(0, 1.0), 1.0);
        assert_eq!(seconds(0, 0.0), 0.5);
        assert_eq!(seconds(3, 1.0), 8.0);
        assert_eq!(seconds(9, 1.0), 300.0);
        assert_eq!(seconds(u32::MAX, 0.5), 225.0);
    }
}
