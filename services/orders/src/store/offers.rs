//! The local copy of what search sells.

use chassis::db::{self, Client, Row, Transaction};

use super::money;
use crate::cart::Offer;
use crate::money::Money;
use crate::sku::Sku;

/// The offer of `sku`; `None` when none was ever heard of.
pub(crate) async fn find(client: &impl Client, sku: &Sku) -> Result<Option<Offer>, db::Error> {
    let row = db::query_opt(
        client,
        "select sku, title, amount, currency, removed from offers where sku = $1",
        &[&sku.as_str()],
    )
    .await?;
    row.as_ref().map(of_row).transpose()
}

/// Of `skus`, those that are on offer, and for the others the offers whose sku differs in nothing but its case.
pub(crate) async fn on_offer_in_any_case(
    client: &impl Client,
    skus: &[&str],
) -> Result<Vec<Sku>, db::Error> {
    let rows = db::query(
        client,
        "select sku from offers
         where not removed and lower(sku) in (select lower(wanted) from unnest($1::text[]) as line (wanted))
         order by sku",
        &[&skus],
    )
    .await?;
    rows.iter().map(|row| Ok(row.try_get("sku")?)).collect()
}

/// Reads the columns `sku`, `title`, `amount`, `currency` and `removed`.
pub(super) fn of_row(row: &Row) -> Result<Offer, db::Error> {
    Ok(Offer {
        sku: row.try_get("sku")?,
        title: row.get("title"),
        price: money(row, "amount", "currency")?,
        removed: row.get("removed"),
    })
}

pub(crate) async fn upsert(
    tx: &Transaction<'_>,
    sku: &Sku,
    title: &str,
    price: Money,
) -> Result<(), db::Error> {
    db::execute(
        tx,
        "insert into offers (sku, removed, title, amount, currency) values ($1, false, $2, $3, $4)
         on conflict (sku) do update
         set removed = false, title = excluded.title, amount = excluded.amount, currency = excluded.currency",
        &[&sku.as_str(), &title, &price.amount, &price.currency.code()],
    )
    .await?;
    Ok(())
}

/// The offer is kept: carts that hold it still show its title.
pub(crate) async fn remove(tx: &Transaction<'_>, sku: &Sku) -> Result<(), db::Error> {
    db::execute(
        tx,
        "update offers set removed = true where sku = $1",
        &[&sku.as_str()],
    )
    .await?;
    Ok(())
}
