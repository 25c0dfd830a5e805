//! The carts: one a buyer. Whoever writes one has locked it.

use chassis::db::{self, Client, Row, Transaction};
use uuid::Uuid;

use super::offers;
use crate::cart::{CartLine, Contents};
use crate::sku::Sku;

/// What is in the buyer's cart, of one moment.
pub(crate) async fn read(client: &impl Client, buyer: Uuid) -> Result<Contents, db::Error> {
    let rows = db::query(
        client,
        "select coalesce(carts.version, 0) as version, sku, title, amount, currency, removed, quantity,
                coalesce(on_hand - reserved, 0) as available
         from (select $1::uuid as buyer_id) as buyer
              left join carts using (buyer_id)
              left join (cart_items join offers using (sku) left join stock using (sku)) using (buyer_id)
         order by added_at, sku",
        &[&buyer],
    )
    .await?;
    let version = rows.first().map_or(0, |row| row.get("version"));
    // A cart with nothing in it is one row without a product.
    let lines = rows
        .iter()
        .filter(|row| row.get::<_, Option<&str>>("sku").is_some());
    Ok(Contents {
        version,
        lines: lines.map(line).collect::<Result<_, _>>()?,
    })
}

/// The lines of an order as they would be in a cart now.
pub(crate) async fn of_order(
    client: &impl Client,
    order: Uuid,
) -> Result<Vec<CartLine>, db::Error> {
    let rows = db::query(
        client,
        "select sku, offers.title, amount, offers.currency, removed, quantity,
                coalesce(on_hand - reserved, 0) as available
         from order_lines join offers using (sku) left join stock using (sku)
         where order_id = $1
         order by position",
        &[&order],
    )
    .await?;
    rows.iter().map(line).collect()
}

fn line(row: &Row) -> Result<CartLine, db::Error> {
    Ok(CartLine {
        offer: offers::of_row(row)?,
        quantity: row.get("quantity"),
        available: row.get("available"),
    })
}

/// A cart that nobody else changes until the transaction ends.
pub(crate) struct LockedCart<'a, 'c> {
    tx: &'a Transaction<'c>,
    buyer: Uuid,
}

impl<'a, 'c> LockedCart<'a, 'c> {
    /// Waits for whoever changes the buyer's cart at this moment.
    pub(crate) async fn lock(tx: &'a Transaction<'c>, buyer: Uuid) -> Result<Self, db::Error> {
        db::execute(
            tx,
            "insert into carts (buyer_id) values ($1) on conflict (buyer_id) do update set buyer_id = excluded.buyer_id",
            &[&buyer],
        )
        .await?;
        Ok(Self { tx, buyer })
    }

    pub(crate) async fn read(&self) -> Result<Contents, db::Error> {
        read(self.tx, self.buyer).await
    }

    /// Sets how many of `sku` are in the cart.
    pub(crate) async fn put(&self, sku: &Sku, quantity: i32) -> Result<(), db::Error> {
        let changed = db::execute(
            self.tx,
            "insert into cart_items (buyer_id, sku, quantity) values ($1, $2, $3)
             on conflict (buyer_id, sku) do update set quantity = excluded.quantity
             where cart_items.quantity <> excluded.quantity",
            &[&self.buyer, &sku.as_str(), &quantity],
        )
        .await?;
        self.note(changed).await
    }

    /// `false` when it was not in the cart.
    pub(crate) async fn remove(&self, sku: &Sku) -> Result<bool, db::Error> {
        let changed = db::execute(
            self.tx,
            "delete from cart_items where buyer_id = $1 and sku = $2",
            &[&self.buyer, &sku.as_str()],
        )
        .await?;
        self.note(changed).await?;
        Ok(changed > 0)
    }

    pub(crate) async fn empty(&self) -> Result<(), db::Error> {
        let changed = db::execute(
            self.tx,
            "delete from cart_items where buyer_id = $1",
            &[&self.buyer],
        )
        .await?;
        self.note(changed).await
    }

    /// Makes a new version of the cart if rows of it were changed.
    async fn note(&self, changed: u64) -> Result<(), db::Error> {
        if changed > 0 {
            db::execute(
                self.tx,
                "update carts set version = version + 1 where buyer_id = $1",
                &[&self.buyer],
            )
            .await?;
        }
        Ok(())
    }
}
