//! What an order takes of the volume: run by hand, for the figures in the documents.

use serde_json::Value;
use uuid::Uuid;

use crate::shop::{Person, Shop};

const ORDERS: i64 = 1_000;

/// `cargo test -p shop-orders --test service -- --ignored --nocapture bytes_per_order`
#[tokio::test]
#[ignore = "takes a minute and asserts nothing"]
async fn bytes_per_order() {
    let shop = Shop::open().await;
    for sku in ["mug", "pen"] {
        shop.sell(sku, 1990, 1_000_000).await;
    }
    for _ in 0..ORDERS / 10 {
        let orders = futures::future::join_all((0..10).map(|_| buy(&shop))).await;
        for order in orders {
            shop.until(order, "paid").await;
            hear_of(&shop, order).await;
        }
    }
    shop.service
        .until_heard("shop.email.email.sent.v1", usize::try_from(ORDERS).unwrap())
        .await;
    let rows = shop
        .look(
            "select c.relname::text, pg_total_relation_size(c.oid), (xpath('/row/n/text()',
                    query_to_xml(format('select count(*) as n from %I', c.relname), false, true, '')))[1]::text::bigint
             from pg_class c where relkind = 'r' and relnamespace = 'public'::regnamespace order by 2 desc",
            &[],
        )
        .await;
    println!(
        "{:<22} {:>14} {:>16}",
        "table", "rows per order", "bytes per order"
    );
    let mut sum = 0;
    for row in rows {
        let (table, bytes, rows): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let per_order = |n: i64| n as f64 / ORDERS as f64;
        println!(
            "{table:<22} {:>14.2} {:>16.0}",
            per_order(rows),
            per_order(bytes)
        );
        sum += bytes;
    }
    println!(
        "{:<22} {:>14} {:>16.0}",
        "all",
        "",
        sum as f64 / ORDERS as f64
    );
}

/// An order of two lines.
async fn buy(shop: &Shop) -> Uuid {
    let buyer = Person::buyer();
    shop.fill_cart(&buyer, "mug", 2).await;
    shop.buy(&buyer, "pen", 1).await
}

/// What other services say of a paid order.
async fn hear_of(shop: &Shop, order: Uuid) {
    let money = serde_json::json!({"amount": 1990, "currency": "EUR"});
    let payment =
        serde_json::json!({"payment_id": Uuid::now_v7(), "order_id": order, "amount": money});
    let mail = serde_json::json!({"kind": "order_confirmed", "order_id": order, "status": "sent"});
    let say = async |subject: &str, data: &Value| {
        shop.backends.say(subject, "a", 1, data.clone()).await;
    };
    say("shop.payments.payment.authorised.v1", &payment).await;
    say("shop.payments.payment.captured.v1", &payment).await;
    say("shop.email.email.sent.v1", &mail).await;
}
