//! What an order takes of the volume: run by hand, for the figures in the documents.

use chassis::testing::Growth;
use serde_json::Value;
use uuid::Uuid;

use crate::shop::{Person, Shop};

const ORDERS: u32 = 1_000;

/// `cargo test -p shop-orders --test service -- --ignored --nocapture bytes_per_order`
#[tokio::test]
#[ignore = "takes a minute"]
async fn bytes_per_order() {
    let shop = Shop::open().await;
    for sku in ["mug", "pen"] {
        shop.sell(sku, 1990, 1_000_000).await;
    }
    for _ in 0..ORDERS / 10 {
        let orders = futures::future::join_all((0..10).map(|_| buy(&shop))).await;
        for order in orders {
            shop.until(order, "paid").await;
            publish_about(&shop, order).await;
        }
    }
    shop.service
        .until_processed("shop.email.email.sent.v1", usize::try_from(ORDERS).unwrap())
        .await;
    let growth = Growth::per_thing(&shop.backends.direct_db(), ORDERS).await;
    // As in docs/services.md.
    for (tables, bytes) in [
        (&["outbox"][..], 3793.0),
        (&["timeline"], 1753.0),
        (&["idempotency"], 1008.0),
        (&["inbox"], 442.0),
        (&["sagas"], 328.0),
        (&["order_networks"], 279.0),
        (&["orders", "order_lines"], 778.0),
    ] {
        growth.assert_documented(tables, bytes);
    }
}

/// An order of two lines.
async fn buy(shop: &Shop) -> Uuid {
    let buyer = Person::buyer();
    shop.fill_cart(&buyer, "mug", 2).await;
    shop.buy(&buyer, "pen", 1).await
}

/// What other services publish about a paid order.
async fn publish_about(shop: &Shop, order: Uuid) {
    let money = serde_json::json!({"amount": 1990, "currency": "EUR"});
    let payment =
        serde_json::json!({"payment_id": Uuid::now_v7(), "order_id": order, "amount": money});
    let mail = serde_json::json!({"kind": "order_confirmed", "order_id": order, "status": "sent"});
    let publish = async |subject: &str, data: &Value| {
        shop.backends
            .publish_event(subject, "a", 1, data.clone())
            .await;
    };
    publish("shop.payments.payment.authorised.v1", &payment).await;
    publish("shop.payments.payment.captured.v1", &payment).await;
    publish("shop.email.email.sent.v1", &mail).await;
}
