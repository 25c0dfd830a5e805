//! What is measured.

use chassis::testing::is_as_documented;
use serde_json::json;

use crate::harness::Shop;

#[tokio::test]
async fn the_page_has_each_metric_with_its_type_and_labels_and_no_other() {
    let shop = Shop::open().await;
    shop.captured().await;
    let metrics = shop.service.metrics().await;
    is_as_documented(
        &metrics,
        &[
            "All services",
            "Services with a database",
            "Services with gRPC",
            "payments",
        ],
    );
}

#[tokio::test]
async fn money_is_counted_when_it_moves() {
    let shop = Shop::open().await;
    let payment = shop.captured().await;
    let captured = payment["amount"]["amount"].as_i64().unwrap();
    let refund = json!({"amount": {"amount": 100, "currency": "EUR"}});
    assert_eq!(shop.ask(&payment, "refund", &refund).await.status, 200);
    shop.pay("tok_approved").await;
    let metrics = shop.service.metrics().await;
    for (change, amount) in [("captured", captured), ("refunded", 100)] {
        let line =
            format!("shop_payments_money_total{{change=\"{change}\",currency=\"EUR\"}} {amount}");
        assert!(
            metrics.lines().any(|told| told == line),
            "{line} is in\n{metrics}"
        );
    }
}
