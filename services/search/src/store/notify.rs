//! Wakes the replicas when something they index was written.

use chassis::db::{self, Transaction};

/// The channel on which a write wakes the replicas.
pub(crate) const CHANNEL: &str = "catalogue";

/// Wakes every replica when the transaction commits.
pub(crate) async fn announce(tx: &Transaction<'_>) -> Result<(), db::Error> {
    db::execute(tx, "select pg_notify($1, '')", &[&CHANNEL]).await?;
    Ok(())
}
