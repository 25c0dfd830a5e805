//! When the provider is asked again.

use std::time::Duration;

use chassis::backoff::Backoff;

/// Between two questions about an operation.
pub(crate) const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};
/// From so many unclear answers on, a person may want to look.
pub(crate) const WORRYING: u32 = 5;
