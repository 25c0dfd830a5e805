//! From where the orders of the last hour were placed.

use std::net::IpAddr;

use chassis::db::{self, Client, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::first_id_at;
use crate::unpaid::Unpaid;

pub(crate) async fn insert(
    tx: &Transaction<'_>,
    order: Uuid,
    network: IpAddr,
) -> Result<(), db::Error> {
    db::execute(
        tx,
        "insert into order_networks (order_id, network) values ($1, $2)",
        &[&order, &network],
    )
    .await?;
    Ok(())
}

/// The orders that were placed from `network` since then, and whose payment was declined or refused.
pub(crate) async fn declined_since(
    client: &impl Client,
    network: IpAddr,
    since: OffsetDateTime,
) -> Result<Unpaid, db::Error> {
    let row = db::query_one(
        client,
        "select count(*) as count, min(placed_at) as oldest
         from order_networks join orders on id = order_id
         where network = $1 and order_id >= $2 and cancel_reason in ('payment_declined', 'payment_refused')",
        &[&network, &first_id_at(since)],
    )
    .await?;
    Ok(Unpaid {
        count: row.get("count"),
        oldest: row.get("oldest"),
    })
}

/// Forgets up to `limit` of them, of orders that were placed before that moment.
pub(crate) async fn delete_before(
    client: &impl Client,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, db::Error> {
    db::execute(
        client,
        "delete from order_networks where order_id in (
             select order_id from order_networks where order_id < $1 order by order_id limit $2
         )",
        &[&first_id_at(before), &limit],
    )
    .await
}
