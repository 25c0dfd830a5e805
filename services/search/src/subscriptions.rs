//! What this service subscribes to: how much of a product can be bought.

use chassis::db::{self, Transaction};
use chassis::{Handler, Outcome, Received, inbox};
use serde::Deserialize;

use crate::store::{notify, stock};

const STOCK_CHANGED: &str = "shop.orders.stock.changed.v1";

/// The fields of `stock.changed` that are read here.
#[derive(Debug, Deserialize)]
pub(crate) struct StockChanged {
    sku: String,
    available: i64,
}

/// Keeps the latest stock of each product; every replica follows the table.
pub(crate) struct StockHandler;

impl Handler for StockHandler {
    type Data = StockChanged;

    fn kind(&self) -> &'static str {
        STOCK_CHANGED
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        stock: StockChanged,
    ) -> Result<Outcome, db::Error> {
        if stock.available < 0 {
            return Ok(Outcome::dead(format!(
                "the stock of {} cannot be {}",
                stock.sku, stock.available
            )));
        }
        if inbox::accept_latest(tx, event).await?
            && stock::set(tx, &stock.sku, stock.available).await?
        {
            notify::announce(tx).await?;
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use chassis::testing::examples;

    use super::*;

    #[test]
    fn the_examples_of_the_owner_are_understood() {
        for stock in examples::<StockChanged>("stock.changed") {
            assert!(!stock.sku.is_empty() && stock.available >= 0);
        }
    }
}
