//! Products: their ratings, and whether they are sold.

use chassis::db::{self, Client, Row, Transaction};

use crate::rating::Rating;
use crate::sku::Sku;

/// A product, as far as it is known here.
pub(crate) struct Product {
    pub(crate) rating: Rating,
    pub(crate) removed: bool,
}

const ADD: &str = "insert into products (sku) values ($1) on conflict do nothing";
const LOCK: &str = "select reviews, stars, removed from products where sku = $1 for update";

/// Keeps others from changing reviews of a product until the transaction ends.
pub(crate) async fn lock(tx: &Transaction<'_>, sku: &Sku) -> Result<Product, db::Error> {
    db::execute(tx, ADD, &[&sku.as_str()]).await?;
    product(&db::query_one(tx, LOCK, &[&sku.as_str()]).await?)
}

const RATE: &str = "update products set reviews = $2, stars = $3 where sku = $1";

/// Stores the rating of a locked product.
pub(crate) async fn rate(tx: &Transaction<'_>, sku: &Sku, rating: Rating) -> Result<(), db::Error> {
    let params: [&(dyn db::ToSql + Sync); 3] = [&sku.as_str(), &rating.reviews, &rating.stars];
    db::execute(tx, RATE, &params).await?;
    Ok(())
}

const FIND: &str = "select reviews, stars, removed from products where sku = $1";

/// `None`: nobody has written about it, and search has said nothing of it.
pub(crate) async fn find(client: &impl Client, sku: &Sku) -> Result<Option<Product>, db::Error> {
    let row = db::query_opt(client, FIND, &[&sku.as_str()]).await?;
    row.as_ref().map(product).transpose()
}

const SELL: &str = "
    insert into products (sku, removed) values ($1, $2) on conflict (sku) do update set removed = excluded.removed";

/// Notes whether a product was taken out of the shop.
pub(crate) async fn set_removed(
    client: &impl Client,
    sku: &Sku,
    removed: bool,
) -> Result<(), db::Error> {
    db::execute(client, SELL, &[&sku.as_str(), &removed]).await?;
    Ok(())
}

fn product(row: &Row) -> Result<Product, db::Error> {
    Ok(Product {
        rating: Rating {
            reviews: row.try_get("reviews")?,
            stars: row.try_get("stars")?,
        },
        removed: row.try_get("removed")?,
    })
}
