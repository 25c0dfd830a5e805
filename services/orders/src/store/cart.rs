//! The carts: one a buyer.

use chassis::db::{self, Client, Transaction};
use uuid::Uuid;

use super::offers;
use crate::cart::CartLine;
use crate::sku::Sku;

/// Keeps everybody else from changing the buyer's cart until the transaction ends.
pub(crate) async fn lock(tx: &Transaction<'_>, buyer: Uuid) -> Result<(), db::Error> {
    db::execute(
        tx,
        "insert into carts (buyer_id) values ($1) on conflict (buyer_id) do update set buyer_id = excluded.buyer_id",
        &[&buyer],
    )
    .await?;
    Ok(())
}

/// The lines at today's prices, oldest first.
pub(crate) async fn lines(client: &impl Client, buyer: Uuid) -> Result<Vec<CartLine>, db::Error> {
    let rows = db::query(
        client,
        "select sku, title, amount, currency, removed, quantity
         from cart_items join offers using (sku)
         where buyer_id = $1
         order by added_at, sku",
        &[&buyer],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(CartLine {
                offer: offers::of_row(row)?,
                quantity: row.get("quantity"),
            })
        })
        .collect()
}

/// Sets how many of `sku` are in the cart.
pub(crate) async fn put(
    tx: &Transaction<'_>,
    buyer: Uuid,
    sku: &Sku,
    quantity: i32,
) -> Result<(), db::Error> {
    db::execute(
        tx,
        "insert into cart_items (buyer_id, sku, quantity) values ($1, $2, $3)
         on conflict (buyer_id, sku) do update set quantity = excluded.quantity",
        &[&buyer, &sku.as_str(), &quantity],
    )
    .await?;
    Ok(())
}

pub(crate) async fn remove(client: &impl Client, buyer: Uuid, sku: &Sku) -> Result<(), db::Error> {
    db::execute(
        client,
        "delete from cart_items where buyer_id = $1 and sku = $2",
        &[&buyer, &sku.as_str()],
    )
    .await?;
    Ok(())
}

pub(crate) async fn empty(tx: &Transaction<'_>, buyer: Uuid) -> Result<(), db::Error> {
    db::execute(tx, "delete from cart_items where buyer_id = $1", &[&buyer]).await?;
    Ok(())
}
