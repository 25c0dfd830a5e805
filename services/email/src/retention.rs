//! Removes old mails, so that the database does not grow for ever.

use std::time::Duration;

use chassis::CancellationToken;
use chassis::db::{self, Db};

use crate::store::mails;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a mail that was sent or kept can be read. Not less than the inbox remembers events: an event that comes again
/// must find its mail.
const KEEP_SENT: Duration = DAY.saturating_mul(14);
/// How long a mail that has failed can be read and sent again.
const KEEP_FAILED: Duration = DAY.saturating_mul(90);
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(3600);
/// Mails removed in one statement.
const BATCH: i64 = 1000;

/// Removes what is too old, at once and then every hour, until `stop`.
pub(crate) async fn run(db: Db, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let removed = round(&db, &stop).await?;
        if removed > 0 {
            tracing::info!(removed, "old mails removed");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn round(db: &Db, stop: &CancellationToken) -> Result<u64, db::Error> {
    let mut removed = 0;
    while !stop.is_cancelled() {
        let connection = db.get().await?;
        let count = mails::remove_old(&connection, KEEP_SENT, KEEP_FAILED, BATCH).await?;
        removed += count;
        if count == 0 {
            break;
        }
    }
    Ok(removed)
}
