//! What reviews subscribes to, and what it reads of it.

use std::collections::BTreeSet;

use chassis::db::{self, Transaction};
use chassis::{Chassis, Handler, Outcome, Received, inbox};
use serde::Deserialize;
use uuid::Uuid;

use crate::sku::Sku;
use crate::store::{products, purchases};

/// Subscribes to all that reviews has to know of others.
pub(crate) fn subscribe(chassis: &mut Chassis) {
    chassis.subscribe(OrderConfirmedHandler);
    for change in [ProductChange::Upserted, ProductChange::Removed] {
        chassis.subscribe(ProductHandler(change));
    }
}

#[derive(Deserialize)]
struct OrderConfirmed {
    buyer_id: Uuid,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    sku: Sku,
}

/// Who bought it may write about it, also when the money is given back later.
struct OrderConfirmedHandler;

impl Handler for OrderConfirmedHandler {
    type Data = OrderConfirmed;

    fn kind(&self) -> &'static str {
        "shop.orders.order.confirmed.v1"
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        _: &Received,
        order: OrderConfirmed,
    ) -> Result<Outcome, db::Error> {
        let skus: BTreeSet<Sku> = order.items.into_iter().map(|item| item.sku).collect();
        purchases::add(tx, order.buyer_id, &skus).await?;
        Ok(Outcome::Done)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProductChange {
    /// New, changed, or back in the shop.
    Upserted,
    Removed,
}

/// Of both events about products.
#[derive(Deserialize)]
struct ProductEvent {
    sku: Sku,
}

struct ProductHandler(ProductChange);

impl Handler for ProductHandler {
    type Data = ProductEvent;

    fn kind(&self) -> &'static str {
        match self.0 {
            ProductChange::Upserted => "shop.search.product.upserted.v1",
            ProductChange::Removed => "shop.search.product.removed.v1",
        }
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        product: ProductEvent,
    ) -> Result<Outcome, db::Error> {
        // The two kinds arrive in any order: the latest of both counts.
        if inbox::accept_latest_of(tx, "product", event).await? {
            let removed = self.0 == ProductChange::Removed;
            products::set_removed(tx, &product.sku, removed).await?;
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use chassis::testing::examples;

    use super::*;

    #[test]
    fn reads_what_orders_and_search_publish() {
        for order in examples::<OrderConfirmed>("order.confirmed") {
            assert!(!order.items.is_empty());
        }
        for event in ["product.upserted", "product.removed"] {
            for product in examples::<ProductEvent>(event) {
                assert!(!product.sku.as_str().is_empty());
            }
        }
    }
}
