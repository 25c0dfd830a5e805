//! What a payment takes of the volume: run by hand, for the figures in the documents.

use chassis::testing::Growth;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::Shop;

const PAYMENTS: u32 = 1_000;

/// `cargo test -p shop-payments --test service -- --ignored --nocapture bytes_per_payment`
#[tokio::test]
#[ignore = "takes a minute"]
async fn bytes_per_payment() {
    let shop = Shop::open().await;
    for _ in 0..PAYMENTS / 10 {
        futures::future::join_all((0..10).map(|_| shop.captured())).await;
    }
    let refunded = shop.captured().await;
    shop.ask(&refunded, "refund", &json!({"all": true}))
        .await
        .payment(StatusCode::OK);
    let growth = Growth::per_thing(&shop.db, PAYMENTS).await;
    // As in docs/services.md.
    let kept = ["attempts", "payments", "ledger_transfers", "ledger_entries"];
    for (tables, bytes) in [
        (&["outbox"][..], 1540.0),
        (&["simulator.requests"], 614.0),
        (&kept, 2130.0),
    ] {
        growth.assert_documented(tables, bytes);
    }
}
