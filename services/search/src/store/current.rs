//! Products as the index wants them: with their stock, as they are now.

use chassis::db::{self, Client, Row};

use super::products::{COLUMNS, Stored};

/// A join would let the planner read all of the stock for each page.
const IN_STOCK: &str =
    "coalesce((select available > 0 from stock where stock.sku = products.sku), false) as in_stock";

/// A product that can be found.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) product: Stored,
    pub(crate) in_stock: bool,
}

impl Offered {
    fn of(row: &Row) -> Self {
        Self {
            product: Stored::of(row),
            in_stock: row.get("in_stock"),
        }
    }
}

/// What has become of a product.
#[derive(Debug)]
pub(crate) enum Current {
    Offered(Box<Offered>),
    Removed { sku: String },
}

/// Reads the products of `skus`.
pub(crate) async fn load(client: &impl Client, skus: &[&str]) -> Result<Vec<Current>, db::Error> {
    let sql = format!("select {COLUMNS}, removed, {IN_STOCK} from products where sku = any($1)");
    let rows = db::query(client, &sql, &[&skus]).await?;
    let current = |row: &Row| {
        if row.get("removed") {
            Current::Removed {
                sku: row.get("sku"),
            }
        } else {
            Current::Offered(Box::new(Offered::of(row)))
        }
    };
    Ok(rows.iter().map(current).collect())
}

/// Reads the first `most` products behind `after` in the order of their sku; `""` is before all. None means the end.
pub(crate) async fn page(
    client: &impl Client,
    after: &str,
    most: i64,
) -> Result<Vec<Offered>, db::Error> {
    let sql = format!(
        "select {COLUMNS}, {IN_STOCK} from products
         where sku > $1 and not removed order by sku limit $2"
    );
    let rows = db::query(client, &sql, &[&after, &most]).await?;
    Ok(rows.iter().map(Offered::of).collect())
}
