//! Events that wait for something that is not known here yet. See [`super::handler::Outcome::park`].

use super::unapplied;
use crate::db::{self, Transaction};

/// Lets go on what waits for `waits_for`: call it in the transaction that makes it known. Within about a second of the
/// commit the events are tried again.
///
/// An event that is parked beside this transaction, by one that does not see its effect yet, is not met here; it is tried
/// again after a second by itself.
pub async fn release(tx: &Transaction<'_>, waits_for: &str) -> Result<(), db::Error> {
    unapplied::release(tx, waits_for).await
}
