//! Each event is applied once: its row in the inbox and its effect are of one transaction.

use uuid::Uuid;

use super::handler::Received;
use crate::db::{self, Transaction};

/// Marks the event as applied; `false` when it was already.
pub(crate) async fn enter(tx: &Transaction<'_>, event: Uuid) -> Result<bool, db::Error> {
    let inserted = db::execute(
        tx,
        "insert into inbox (event_id) values ($1) on conflict do nothing",
        &[&event],
    )
    .await?;
    Ok(inserted == 1)
}

/// For events that carry the whole state, where only the latest counts: `false` when one of this kind and aggregate with
/// the same or a higher sequence was applied already, and this one came late.
pub async fn accept_latest(tx: &Transaction<'_>, event: &Received) -> Result<bool, db::Error> {
    accept_latest_of(tx, &event.kind, event).await
}

/// Like [`accept_latest`], for several kinds that count together as `group` (`"product"` for upserted and removed).
pub async fn accept_latest_of(
    tx: &Transaction<'_>,
    group: &str,
    event: &Received,
) -> Result<bool, db::Error> {
    let moved = db::execute(
        tx,
        "insert into inbox_latest as l (kind, aggregate, sequence) values ($1, $2, $3)
         on conflict (kind, aggregate) do update set sequence = excluded.sequence where l.sequence < excluded.sequence",
        &[&group, &event.aggregate, &event.sequence],
    )
    .await?;
    Ok(moved == 1)
}
