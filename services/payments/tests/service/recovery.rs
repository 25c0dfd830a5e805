//! A process that dies between two phases: what it left behind is finished, once.

use chassis::testing::eventually;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Shop, eur, id, order};

#[tokio::test]
async fn a_caller_who_hangs_up_finds_the_payment_finished() {
    let shop = Shop::open().await;
    let body = order("tok_slow");
    let caller = tokio::spawn(shop.post("/payments", "key", &body).send());
    eventually("the provider is asked", || async {
        let asked = shop.rows("select from simulator.requests", &[]).await;
        (!asked.is_empty()).then_some(())
    })
    .await;
    caller.abort();
    assert!(
        caller.await.unwrap_err().is_cancelled(),
        "it hung up before the answer"
    );
    let again = async || {
        Answer::of(shop.post("/payments", "key", &body))
            .await
            .payment(StatusCode::CREATED)
    };
    let payment = again().await;
    assert_eq!(payment["status"], "processing");
    // Its lease would end by itself after some seconds.
    shop.let_check(&payment).await;
    shop.becomes(&payment, "authorised").await;
    assert_eq!(shop.asked(&payment).await.len(), 1);
    assert_eq!(again().await["status"], "authorised");
}

#[tokio::test]
async fn an_authorisation_that_was_never_sent_is_sent() {
    let shop = Shop::open().await;
    let body = order("tok_approved");
    let payment = shop.leave_authorising(&body, "key", "now()").await;
    shop.becomes(&payment, "authorised").await;
    let key = format!("{}:authorise:1", id(&payment));
    assert_eq!(shop.asked(&payment).await, [(key, 1)]);
    shop.until_published("payment.authorised", &payment).await;
    // The chassis has no memory of this key, as after the days it keeps them: the attempt remembers.
    let again = Answer::of(shop.post("/payments", "key", &body)).await;
    assert_eq!(again.payment(StatusCode::CREATED)["id"], payment["id"]);
}

#[tokio::test]
async fn a_capture_that_was_sent_but_not_stored_is_stored_once() {
    let shop = Shop::open().await;
    let other = shop.replica().await;
    let payment = shop.pay("tok_approved").await;
    answer_of_the_provider(&shop, &payment, "capture", None).await;
    leave_capturing(&shop, &payment, "key").await;
    shop.becomes(&payment, "captured").await;

    let key = format!("{}:capture:2", id(&payment));
    assert_eq!(shop.asked(&payment).await[1], (key, 2));
    let transfers = shop.rows("select from ledger_transfers", &[]).await;
    assert_eq!(transfers.len(), 1);
    shop.until_published("payment.captured", &payment).await;
    let again = shop.ask_as("key", &payment, "capture", &json!({})).await;
    assert_eq!(again.payment(StatusCode::OK)["captured"], eur(1999));
    other.stop().await;
}

#[tokio::test]
async fn a_capture_the_provider_refuses_leaves_the_payment_authorised() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_approved").await;
    answer_of_the_provider(&shop, &payment, "capture", Some("expired")).await;
    for _ in 0..2 {
        let refused = shop.ask_as("key", &payment, "capture", &json!({})).await;
        assert_eq!(refused.problem(), (409, "refused_by_provider"));
        assert!(refused.body["detail"].as_str().unwrap().contains("expired"));
    }
    assert_eq!(shop.read(&payment).await["status"], "authorised");
    let second = shop.ask(&payment, "capture", &json!({})).await;
    assert_eq!(second.payment(StatusCode::OK)["status"], "captured");
}

#[tokio::test]
async fn an_attempt_another_process_is_working_on_is_left_alone() {
    let shop = Shop::open().await;
    let body = order("tok_approved");
    let leased = shop
        .leave_authorising(&body, "leased", "now() + interval '1 hour'")
        .await;
    let due = shop.leave_authorising(&body, "due", "now()").await;
    shop.becomes(&due, "authorised").await;
    assert_eq!(shop.read(&leased).await["status"], "processing");
}

#[tokio::test]
async fn many_unfinished_attempts_are_shared_between_replicas_and_each_is_finished_once() {
    let shop = Shop::open().await;
    let other = shop.replica().await;
    let mut left = Vec::new();
    for n in 0..30 {
        let (body, key) = (order("tok_approved"), format!("left-{n}"));
        left.push(shop.leave_authorising(&body, &key, "now()").await);
    }
    for payment in &left {
        shop.becomes(payment, "authorised").await;
    }
    let published = eventually("all are published", || async {
        let published = shop
            .backends
            .published("shop.payments.payment.authorised.v1")
            .await;
        (published.len() >= left.len()).then_some(published)
    })
    .await;
    assert_eq!(published.len(), left.len());
    let asked = shop
        .rows("select from simulator.requests where asked = 1", &[])
        .await;
    assert_eq!(asked.len(), left.len());
    other.stop().await;
}

/// What a process leaves behind that dies right after the first transaction of a capture.
async fn leave_capturing(shop: &Shop, payment: &Value, key: &str) {
    let sql = "
        with payment as (
            update payments set state = 'capturing', version = version + 1 where id = $1 and state = 'authorised' returning id
        )
        insert into attempts (id, payment_id, sequence, operation, amount, idempotency_key, status, next_check_at)
        select $2, id, 2, 'capture', 1999, $3, 'processing', now() from payment";
    shop.rows(sql, &[&id(payment), &Uuid::now_v7(), &key]).await;
}

/// What the provider has written down already for the second attempt of a payment.
async fn answer_of_the_provider(
    shop: &Shop,
    payment: &Value,
    operation: &str,
    refusal: Option<&str>,
) {
    let sql = "
        insert into simulator.requests (key, operation, amount, currency, refusal) values ($1, $2, 1999, 'EUR', $3)";
    let key = format!("{}:{operation}:2", id(payment));
    shop.rows(sql, &[&key, &operation, &refusal]).await;
}
