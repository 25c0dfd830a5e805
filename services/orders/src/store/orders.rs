//! Orders and their lines.

use std::collections::HashMap;

use chassis::db::{self, Client, Row, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Text, first_id_at, money, text};
use crate::money::Money;
use crate::number::OrderNumber;
use crate::order::{CancelReason, Order, OrderItem, OrderState};
use crate::unpaid::Unpaid;

pub(crate) async fn insert(tx: &Transaction<'_>, order: &Order) -> Result<(), db::Error> {
    db::execute(
        tx,
        "insert into orders (id, buyer_id, state, total_amount, currency, placed_at) values ($1, $2, $3, $4, $5, $6)",
        &[
            &order.id,
            &order.buyer_id,
            &order.state.into_str(),
            &order.total.amount,
            &order.total.currency.code(),
            &order.placed_at,
        ],
    )
    .await?;
    let skus: Vec<_> = order.items.iter().map(|item| item.sku.as_str()).collect();
    let titles: Vec<_> = order.items.iter().map(|item| item.title.as_str()).collect();
    let quantities: Vec<_> = order.items.iter().map(|item| item.quantity).collect();
    let amounts: Vec<_> = order
        .items
        .iter()
        .map(|item| item.unit_price.amount)
        .collect();
    db::execute(
        tx,
        "insert into order_lines (order_id, position, sku, title, quantity, unit_amount)
         select $1, position, sku, title, quantity, amount
         from unnest($2::text[], $3::text[], $4::integer[], $5::bigint[])
              with ordinality as line (sku, title, quantity, amount, position)",
        &[&order.id, &skus, &titles, &quantities, &amounts],
    )
    .await?;
    Ok(())
}

/// What an order is read from.
const COLUMNS: &str = "id, buyer_id, state, cancel_reason, total_amount, currency, refunded_amount,
    placed_at, confirmed_at, finished_at";

pub(crate) async fn find(client: &impl Client, id: Uuid) -> Result<Option<Order>, db::Error> {
    let sql = format!("select {COLUMNS} from orders where id = $1");
    let rows = db::query(client, &sql, &[&id]).await?;
    Ok(with_lines(client, &rows).await?.pop())
}

/// The orders of `buyer` that are older than the order `before`, newest first.
pub(crate) async fn list(
    client: &impl Client,
    buyer: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Order>, db::Error> {
    let sql = format!(
        "select {COLUMNS} from orders
         where buyer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"
    );
    let rows = db::query(client, &sql, &[&buyer, &before, &limit]).await?;
    with_lines(client, &rows).await
}

/// The orders of all buyers that stand so, or all, and are older than the order `before`, newest first.
pub(crate) async fn all(
    client: &impl Client,
    state: Option<OrderState>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Order>, db::Error> {
    // One statement for both would be planned for neither.
    let rows = match state {
        None => {
            let sql = format!(
                "select {COLUMNS} from orders where $1::uuid is null or id < $1 order by id desc limit $2"
            );
            db::query(client, &sql, &[&before, &limit]).await?
        }
        Some(state) => {
            let sql = format!(
                "select {COLUMNS} from orders
                 where state = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"
            );
            db::query(client, &sql, &[&state.into_str(), &before, &limit]).await?
        }
    };
    with_lines(client, &rows).await
}

/// The orders with this number that are older than the order `before`, newest first: of one buyer or of all.
pub(crate) async fn numbered(
    client: &impl Client,
    number: OrderNumber,
    buyer: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Order>, db::Error> {
    let sql = format!(
        "select {COLUMNS} from orders
         where right(id::text, 8) = $1 and ($2::uuid is null or buyer_id = $2) and ($3::uuid is null or id < $3)
         order by id desc limit $4"
    );
    let rows = db::query(
        client,
        &sql,
        &[&number.in_lower_case(), &buyer, &before, &limit],
    )
    .await?;
    with_lines(client, &rows).await
}

/// The orders of `buyer` that were placed since then and are pending, or whose payment was declined or refused.
pub(crate) async fn unpaid_since(
    client: &impl Client,
    buyer: Uuid,
    since: OffsetDateTime,
) -> Result<Unpaid, db::Error> {
    let row = db::query_one(
        client,
        "select count(*) as count, min(placed_at) as oldest from orders
         where buyer_id = $1 and id >= $2
           and (state = 'pending' or cancel_reason in ('payment_declined', 'payment_refused'))",
        &[&buyer, &first_id_at(since)],
    )
    .await?;
    Ok(Unpaid {
        count: row.get("count"),
        oldest: row.get("oldest"),
    })
}

/// Where the order stands; cheaper than the whole of it.
pub(crate) async fn state(client: &impl Client, id: Uuid) -> Result<Option<OrderState>, db::Error> {
    let row = db::query_opt(client, "select state from orders where id = $1", &[&id]).await?;
    row.as_ref().map(|row| text(row, "state")).transpose()
}

async fn with_lines(client: &impl Client, rows: &[Row]) -> Result<Vec<Order>, db::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    let lines = db::query(
        client,
        "select order_id, sku, title, quantity, unit_amount, currency
         from order_lines join orders on orders.id = order_id
         where order_id = any($1)
         order by order_id, position",
        &[&ids],
    )
    .await?;
    let mut items: HashMap<Uuid, Vec<OrderItem>> = HashMap::new();
    for line in &lines {
        items
            .entry(line.get("order_id"))
            .or_default()
            .push(item_of(line)?);
    }
    rows.iter()
        .map(|row| {
            let reason: Option<Text<CancelReason>> = row.try_get("cancel_reason")?;
            let id = row.get("id");
            let total = money(row, "total_amount", "currency")?;
            Ok(Order {
                id,
                number: OrderNumber::of(id),
                buyer_id: row.get("buyer_id"),
                state: text(row, "state")?,
                reason: reason.map(|Text(reason)| reason),
                items: items.remove(&id).unwrap_or_default(),
                total,
                refunded: total.with(row.get("refunded_amount")),
                placed_at: row.get("placed_at"),
                confirmed_at: row.get("confirmed_at"),
                finished_at: row.get("finished_at"),
            })
        })
        .collect()
}

fn item_of(row: &Row) -> Result<OrderItem, db::Error> {
    let unit_price = money(row, "unit_amount", "currency")?;
    let quantity = row.get("quantity");
    Ok(OrderItem {
        sku: row.try_get("sku")?,
        title: row.get("title"),
        quantity,
        unit_price,
        // It was part of a checked total when the order was placed.
        line_total: unit_price.times(quantity).unwrap_or(unit_price),
    })
}

/// Pending becomes confirmed. Returns the sequence of the event that says so; `None` when the order was not pending.
pub(crate) async fn confirm(
    tx: &Transaction<'_>,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<i64>, db::Error> {
    let row = db::query_opt(
        tx,
        "update orders set state = 'confirmed', confirmed_at = $2, version = version + 1
         where id = $1 and state = 'pending' returning version",
        &[&id, &now],
    )
    .await?;
    Ok(row.map(|row| row.get("version")))
}

/// Confirmed becomes paid; `false` when the order was not confirmed.
pub(crate) async fn pay(
    tx: &Transaction<'_>,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<bool, db::Error> {
    let changed = db::execute(
        tx,
        "update orders set state = 'paid', finished_at = $2 where id = $1 and state = 'confirmed'",
        &[&id, &now],
    )
    .await?;
    Ok(changed == 1)
}

/// Pending becomes cancelled. Returns the sequence of the event that says so; `None` when the order was not pending.
pub(crate) async fn cancel(
    tx: &Transaction<'_>,
    id: Uuid,
    reason: CancelReason,
    now: OffsetDateTime,
) -> Result<Option<i64>, db::Error> {
    let row = db::query_opt(
        tx,
        "update orders set state = 'cancelled', cancel_reason = $2, finished_at = $3, version = version + 1
         where id = $1 and state = 'pending' returning version",
        &[&id, &reason.into_str(), &now],
    )
    .await?;
    Ok(row.map(|row| row.get("version")))
}

/// Notes that `refunded` was given back of the order so far. Returns the sequence of the event that says so; `None` when
/// there is no such order.
pub(crate) async fn refund(
    tx: &Transaction<'_>,
    id: Uuid,
    refunded: Money,
) -> Result<Option<i64>, db::Error> {
    // Of two refunds the later one may be heard of first.
    let row = db::query_opt(
        tx,
        "update orders set refunded_amount = greatest(refunded_amount, $2), version = version + 1
         where id = $1 returning version",
        &[&id, &refunded.amount],
    )
    .await?;
    Ok(row.map(|row| row.get("version")))
}
