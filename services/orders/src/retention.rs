//! What is deleted after some time: timelines, ended checkouts and the networks that orders came from, so that the tables
//! that grow with every order do not grow for ever. The orders themselves are the shop's books and are kept.

use std::time::Duration;

use chassis::CancellationToken;
use chassis::db::{self, Db};
use time::OffsetDateTime;

use crate::store;
use crate::unpaid::WINDOW;

/// How long the story of an order, and the state of a checkout that has ended, are kept. No event of a payment comes later:
/// outboxes keep them for seven days.
const KEEP: Duration = Duration::from_secs(14 * 24 * 3600);
/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(600);
/// Rows in one statement: a backlog must not run into the time of a statement.
const BATCH: i64 = 2_000;

/// Runs until `stop`. Any number of replicas may do so at once.
pub(crate) async fn run(db: Db, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let rows = delete_old(&db, OffsetDateTime::now_utc(), &stop).await?;
        if rows > 0 {
            tracing::info!(
                rows,
                "old entries of timelines, ended checkouts and networks of orders were deleted"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Deletes what is too old `now`, in parts: networks count for [`WINDOW`] only, the rest is kept for [`KEEP`]. Returns how
/// many rows that were.
async fn delete_old(
    db: &Db,
    now: OffsetDateTime,
    stop: &CancellationToken,
) -> Result<u64, db::Error> {
    let (before, counted) = (now - KEEP, now - WINDOW);
    let mut rows = 0;
    while !stop.is_cancelled() {
        let client = db.get().await?;
        let part = store::timeline::delete_before(&client, before, BATCH).await?
            + store::sagas::delete_ended_before(&client, before, BATCH).await?
            + store::networks::delete_before(&client, counted, BATCH).await?;
        if part == 0 {
            break;
        }
        rows += part;
    }
    Ok(rows)
}
