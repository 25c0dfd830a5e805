//! How much room the broker has, and how much of it events may take.

use crate::{
    facts::observe::ObservedBackend,
    model::validate::ValidShop,
    quantity::{bytes, parse_bytes},
};

/// A service takes no smaller bound of the stream (`EVENTS_MAX_BYTES`).
const SMALLEST_STREAM: u64 = 64 * 1024;

/// What the volume of the broker holds, in bytes.
pub fn volume_size(shop: &ValidShop, observed: &ObservedBackend) -> u64 {
    let claimed = observed.claim_size().and_then(parse_bytes);
    claimed.unwrap_or_else(|| bytes(&shop.broker.storage.size))
}

/// The bound of the stream in bytes: below what the server takes in all, so that the oldest events go and the newest are
/// still taken. The rest is for consumers and for what the server has not tidied up yet.
pub fn stream_size(shop: &ValidShop, observed: &ObservedBackend) -> u64 {
    (volume_size(shop, observed) / 10 * 8).max(SMALLEST_STREAM)
}
