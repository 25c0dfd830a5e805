//! The last known stock of each product.

use chassis::db::{self, Transaction};

/// Keeps `available` for `sku` and says whether the product went from sold out to available or back. Only that touches
/// `changed`: an index knows whether there is stock, not how much, and need not write at every sale.
pub(crate) async fn set(
    tx: &Transaction<'_>,
    sku: &str,
    available: i64,
) -> Result<bool, db::Error> {
    let row = db::query_one(
        tx,
        "insert into stock as s (sku, available) values ($1, $2)
         on conflict (sku) do update set available = excluded.available, heard_at = now(),
             changed = case when (s.available > 0) = (excluded.available > 0) then s.changed else pg_current_xact_id() end
         returning changed = pg_current_xact_id()",
        &[&sku, &available],
    )
    .await?;
    Ok(row.get(0))
}
