//! The database or the broker is away for a while.

use chassis::testing::eventually;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Answer, Shop, order};

#[tokio::test]
async fn without_the_database_a_caller_is_told_to_come_back_and_then_served() {
    let shop = Shop::open().await;
    let body = order("tok_approved");
    shop.backends.database_proxy.cut();
    let answer = Answer::of(shop.post("/payments", "key", &body)).await;
    assert_eq!(answer.problem(), (503, "unavailable"));
    assert!(answer.retry_after.is_some());

    shop.backends.database_proxy.heal();
    let payment = eventually("the payment is taken", || async {
        let answer = Answer::of(shop.post("/payments", "key", &body)).await;
        (answer.status == StatusCode::CREATED).then_some(answer.body)
    })
    .await;
    shop.becomes(&payment, "authorised").await;
    assert_eq!(shop.rows("select from payments", &[]).await.len(), 1);
}

#[tokio::test]
async fn a_database_lost_while_the_provider_answers_loses_nothing() {
    let shop = Shop::open().await;
    let body = order("tok_slow");
    let request = tokio::spawn(Answer::of(shop.post("/payments", "key", &body)));
    let payment = eventually("the provider is asked", || async {
        let rows = shop
            .rows(
                "select split_part(key, ':', 1) from simulator.requests",
                &[],
            )
            .await;
        rows.first()
            .map(|row| json!({"id": row.get::<_, String>(0)}))
    })
    .await;
    shop.backends.database_proxy.cut();
    let answer = request.await.unwrap();
    assert_eq!(answer.problem(), (503, "unavailable"));

    shop.backends.database_proxy.heal();
    // Its lease would end by itself after some seconds.
    shop.let_check(&payment).await;
    eventually("the payment is authorised", || async {
        let answer = Answer::of(shop.post("/payments", "key", &body)).await;
        (answer.body["status"] == "authorised").then_some(())
    })
    .await;
    assert_eq!(shop.asked(&payment).await.len(), 1);
}

#[tokio::test]
async fn without_the_broker_payments_go_on_and_are_told_of_later() {
    let shop = Shop::open().await;
    shop.backends.nats_proxy.cut();
    let payment = shop.captured().await;
    assert_eq!(payment["status"], "captured");
    assert!(
        shop.published("payment.captured", &payment)
            .await
            .is_empty()
    );
    shop.backends.nats_proxy.heal();
    shop.until_published("payment.authorised", &payment).await;
    shop.until_published("payment.captured", &payment).await;
}
