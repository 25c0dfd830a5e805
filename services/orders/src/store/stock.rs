//! Stock and what is reserved of it. Whoever changes several rows locks them in the order of their skus first, so that no
//! two transactions wait for each other.

use std::collections::HashMap;

use chassis::db::{self, Client, Row, Transaction};
use chassis::outbox;
use uuid::Uuid;

use crate::events::StockChanged;
use crate::sku::Sku;

/// The units of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    /// On the shelf, the reserved ones among them.
    pub(crate) on_hand: i32,
    pub(crate) reserved: i32,
    /// Rises with every change of the two.
    pub(crate) version: i64,
}

impl Stock {
    pub(crate) fn available(self) -> i32 {
        self.on_hand - self.reserved
    }
}

pub(crate) async fn find(client: &impl Client, sku: &Sku) -> Result<Option<Stock>, db::Error> {
    let row = db::query_opt(
        client,
        "select on_hand, reserved, version from stock where sku = $1",
        &[&sku.as_str()],
    )
    .await?;
    Ok(row.as_ref().map(of_row))
}

/// Those of `skus` whose stock was set, by sku.
pub(crate) async fn find_all(
    client: &impl Client,
    skus: &[&str],
) -> Result<HashMap<Sku, Stock>, db::Error> {
    let rows = db::query(
        client,
        "select sku, on_hand, reserved, version from stock where sku = any($1)",
        &[&skus],
    )
    .await?;
    stocks(&rows)
}

/// Locks the rows of `skus` and returns them; a sku without stock is left out.
pub(crate) async fn lock(
    tx: &Transaction<'_>,
    skus: &[&str],
) -> Result<HashMap<Sku, Stock>, db::Error> {
    let rows = db::query(
        tx,
        "select sku, on_hand, reserved, version from stock where sku = any($1) order by sku for update",
        &[&skus],
    )
    .await?;
    stocks(&rows)
}

/// Reserves units of locked rows for an order and says what is left. `false` when a row cannot fill its line; the caller
/// has looked before, and rolls back.
pub(crate) async fn reserve(
    tx: &Transaction<'_>,
    order: Uuid,
    units: &HashMap<&str, i32>,
) -> Result<bool, db::Error> {
    let (skus, quantities): (Vec<_>, Vec<_>) = units.iter().map(|(s, n)| (*s, *n)).unzip();
    let reserved = db::query(
        tx,
        "update stock set reserved = reserved + quantity, version = version + 1
         from unnest($1::text[], $2::integer[]) as line (wanted, quantity)
         where sku = wanted and on_hand - reserved >= quantity
         returning sku, on_hand, reserved, version",
        &[&skus, &quantities],
    )
    .await?;
    if reserved.len() != units.len() {
        return Ok(false);
    }
    db::execute(
        tx,
        "insert into reservations (order_id, sku, quantity)
         select $1, sku, quantity from unnest($2::text[], $3::integer[]) as line (sku, quantity)",
        &[&order, &skus, &quantities],
    )
    .await?;
    publish_changed(tx, &reserved).await?;
    Ok(true)
}

/// Gives back what is still reserved for an order, and publishes that.
pub(crate) async fn release(tx: &Transaction<'_>, order: Uuid) -> Result<(), db::Error> {
    lock_reserved(tx, order).await?;
    let released = db::query(
        tx,
        "with gone as (delete from reservations where order_id = $1 returning sku, quantity)
         update stock set reserved = reserved - quantity, version = version + 1
         from gone where stock.sku = gone.sku
         returning stock.sku, on_hand, reserved, version",
        &[&order],
    )
    .await?;
    publish_changed(tx, &released).await
}

/// Takes what is reserved for an order off the shelf. What can be ordered stays the same, so nothing is
/// published; the version rises for whoever counts the shelf.
pub(crate) async fn sell(tx: &Transaction<'_>, order: Uuid) -> Result<(), db::Error> {
    lock_reserved(tx, order).await?;
    db::execute(
        tx,
        "with gone as (delete from reservations where order_id = $1 returning sku, quantity)
         update stock set reserved = reserved - quantity, on_hand = on_hand - quantity, version = version + 1
         from gone where stock.sku = gone.sku",
        &[&order],
    )
    .await?;
    Ok(())
}

async fn lock_reserved(tx: &Transaction<'_>, order: Uuid) -> Result<(), db::Error> {
    db::execute(
        tx,
        "select from stock join reservations using (sku) where order_id = $1 order by sku for update of stock",
        &[&order],
    )
    .await?;
    Ok(())
}

/// What became of a wish to set what is on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Changed(Stock),
    Unchanged(Stock),
    /// More is reserved than should be there: nothing was changed.
    BelowReserved(Stock),
}

/// Sets what is on the shelf, for each sku once, and says what changed.
pub(crate) async fn set_on_hand(
    tx: &Transaction<'_>,
    wanted: &HashMap<Sku, i32>,
) -> Result<HashMap<Sku, Count>, db::Error> {
    let (skus, counts): (Vec<_>, Vec<_>) = wanted.iter().map(|(s, n)| (s.as_str(), *n)).unzip();
    // Rows are locked one by one in the order of the select, the unchanged ones too.
    let changed = db::query(
        tx,
        "insert into stock (sku, on_hand, version)
         select sku, on_hand, 1 from unnest($1::text[], $2::integer[]) as line (sku, on_hand) order by sku
         on conflict (sku) do update set on_hand = excluded.on_hand, version = stock.version + 1
         where stock.on_hand <> excluded.on_hand and stock.reserved <= excluded.on_hand
         returning sku, on_hand, reserved, version",
        &[&skus, &counts],
    )
    .await?;
    publish_changed(tx, &changed).await?;
    let changed = stocks(&changed)?;
    let rows = db::query(
        tx,
        "select sku, on_hand, reserved, version from stock where sku = any($1)",
        &[&skus],
    )
    .await?;
    let outcome = |(sku, stock): (Sku, Stock)| {
        let count = if changed.contains_key(&sku) {
            Count::Changed(stock)
        } else if wanted.get(&sku) == Some(&stock.on_hand) {
            Count::Unchanged(stock)
        } else {
            Count::BelowReserved(stock)
        };
        (sku, count)
    };
    Ok(stocks(&rows)?.into_iter().map(outcome).collect())
}

async fn publish_changed(tx: &Transaction<'_>, rows: &[Row]) -> Result<(), db::Error> {
    let events = rows
        .iter()
        .map(|row| {
            let sku: Sku = row.try_get("sku")?;
            let available = of_row(row).available();
            Ok((
                sku.to_string(),
                row.get("version"),
                StockChanged { sku, available },
            ))
        })
        .collect::<Result<Vec<_>, db::Error>>()?;
    outbox::add_all(tx, &events).await
}

fn stocks(rows: &[Row]) -> Result<HashMap<Sku, Stock>, db::Error> {
    rows.iter()
        .map(|row| Ok((row.try_get("sku")?, of_row(row))))
        .collect()
}

fn of_row(row: &Row) -> Stock {
    Stock {
        on_hand: row.get("on_hand"),
        reserved: row.get("reserved"),
        version: row.get("version"),
    }
}
