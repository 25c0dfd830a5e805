//! Money of an order is given back: payments does it and says so, the order tells it on.

use chassis::db::{self, Transaction};
use chassis::outbox;
use uuid::Uuid;

use crate::events::OrderRefunded;
use crate::money::Money;
use crate::store;

/// Notes that `amount` was given back now and `refunded` so far, and publishes it with what a mail needs.
pub(crate) async fn record(
    tx: &Transaction<'_>,
    order: Uuid,
    amount: Money,
    refunded: Money,
) -> Result<(), db::Error> {
    let Some(sequence) = store::orders::refund(tx, order, refunded).await? else {
        return Ok(());
    };
    let Some(order) = store::orders::find(tx, order).await? else {
        return Ok(());
    };
    let event = OrderRefunded::of(&order, amount, refunded);
    outbox::add(tx, &order.id.to_string(), sequence, &event).await?;
    tracing::info!(%amount, %refunded, total = %order.total, "order refunded");
    Ok(())
}
