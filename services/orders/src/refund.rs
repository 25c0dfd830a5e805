//! Money of an order is given back: payments does it and says so, the order tells it on.

use std::time::Duration;

use chassis::db::{self, Db, Transaction};
use chassis::{CancellationToken, outbox};
use uuid::Uuid;

use crate::events::OrderRefunded;
use crate::money::Money;
use crate::payments_client::PaymentsClient;
use crate::store;

/// Between two looks for refunds that were not counted.
const INTERVAL: Duration = Duration::from_secs(60);
/// Orders in one look.
const BATCH: i64 = 100;

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

/// Counts the refunds that the previous version applied, as it may while it runs beside this one: the event is in the inbox,
/// so it does not come again, and the timeline has no amount. Can go once no such version is upgraded from any more.
pub(crate) async fn count_what_was_missed(
    db: Db,
    payments: PaymentsClient,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let orders = store::timeline::refunds_not_counted(&db.get().await?, BATCH).await?;
        for order in orders {
            let refunded = payments.refunded(order).await?;
            count(&db, order, refunded).await?;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Counts what payments has given back by now and was not counted yet, as one refund.
async fn count(db: &Db, order: Uuid, refunded: i64) -> Result<(), db::Error> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let Some(order) = store::orders::find(&tx, order).await? else {
        return Ok(());
    };
    let refunded = order.total.with(refunded);
    if !store::timeline::refunds_are_counted(&tx, order.id, refunded).await? {
        return Ok(());
    }
    let missed = refunded.amount - order.refunded.amount;
    if missed > 0 {
        record(&tx, order.id, order.total.with(missed), refunded).await?;
    }
    tx.commit().await
}
