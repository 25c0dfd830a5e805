//! The same key again: one effect, one answer.

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Answer, Shop, eur, id, order, post};

#[tokio::test]
async fn twins_at_two_replicas_make_one_payment_and_one_charge() {
    let shop = Shop::open().await;
    let other = shop.replica().await;
    let body = order("tok_approved");
    let answers = join_all((0..12).map(|n| {
        let service = if n % 2 == 0 { &shop.service } else { &other };
        Answer::of(post(service, "/payments", "twin", &body))
    }))
    .await;
    let first = shop.read(&answers[0].body).await;
    for answer in answers {
        let payment = answer.payment(StatusCode::CREATED);
        assert_eq!(payment["id"], first["id"]);
        let status = payment["status"].as_str().unwrap();
        assert!(["processing", "authorised"].contains(&status), "{status}");
    }
    assert_eq!(first["status"], "authorised");
    assert_eq!(shop.rows("select from payments", &[]).await.len(), 1);
    let key = format!("{}:authorise:1", id(&first));
    assert_eq!(shop.asked(&first).await, [(key, 1)]);
    other.stop().await;
}

#[tokio::test]
async fn a_repeated_key_is_answered_with_the_payment_as_it_is_now() {
    let shop = Shop::open().await;
    let body = order("tok_approved");
    let again = async || {
        Answer::of(shop.post("/payments", "key", &body))
            .await
            .payment(StatusCode::CREATED)
    };
    let payment = again().await;
    assert_eq!(again().await, payment);
    shop.ask(&payment, "capture", &json!({}))
        .await
        .payment(StatusCode::OK);
    assert_eq!(again().await, shop.read(&payment).await);
    assert_eq!(again().await["status"], "captured");
}

#[tokio::test]
async fn a_repeated_key_while_there_is_no_answer_is_processing_and_does_not_ask_the_provider() {
    let shop = Shop::open().await;
    let body = order("tok_approved");
    let payment = shop.leave_authorising(&body, "key", "'infinity'").await;
    let again = async || {
        Answer::of(shop.post("/payments", "key", &body))
            .await
            .payment(StatusCode::CREATED)
    };
    assert_eq!(again().await["status"], "processing");
    assert_eq!(again().await["id"], payment["id"]);
    assert!(shop.asked(&payment).await.is_empty());
    shop.let_check(&payment).await;
    shop.becomes(&payment, "authorised").await;
    assert_eq!(again().await["status"], "authorised");
}

#[tokio::test]
async fn a_capture_repeats_with_its_key_and_conflicts_with_another() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_approved").await;
    let captured = shop
        .ask_as("capture", &payment, "capture", &json!({}))
        .await;
    let captured = captured.payment(StatusCode::OK);
    assert_eq!(captured["status"], "captured");
    let again = shop
        .ask_as("capture", &payment, "capture", &json!({}))
        .await;
    assert_eq!(again.payment(StatusCode::OK), captured);
    let other = shop.ask_as("other", &payment, "capture", &json!({})).await;
    assert_eq!(other.problem(), (409, "conflict"));
    let transfers = shop.rows("select from ledger_transfers", &[]).await;
    assert_eq!(transfers.len(), 1);
}

#[tokio::test]
async fn a_refund_repeats_with_its_key() {
    let shop = Shop::open().await;
    let payment = shop.captured().await;
    let part = json!({"amount": eur(1000)});
    for _ in 0..3 {
        let answer = shop.ask_as("refund", &payment, "refund", &part).await;
        assert_eq!(answer.payment(StatusCode::OK)["refunded"], eur(1000));
    }
}

#[tokio::test]
async fn a_key_for_something_else_is_refused() {
    let shop = Shop::open().await;
    let body = order("tok_approved");
    let payment = Answer::of(shop.post("/payments", "key", &body))
        .await
        .payment(StatusCode::CREATED);
    let mut other = body.clone();
    other["amount"] = eur(2000);
    let reused = (422, "idempotency_key_reused");
    assert_eq!(
        Answer::of(shop.post("/payments", "key", &other))
            .await
            .problem(),
        reused
    );
    assert_eq!(
        shop.ask_as("key", &payment, "capture", &json!({}))
            .await
            .problem(),
        reused
    );

    let captured = shop
        .ask_as("capture", &payment, "capture", &json!({}))
        .await;
    captured.payment(StatusCode::OK);
    let second = shop.pay("tok_approved").await;
    assert_eq!(
        shop.ask_as("capture", &second, "capture", &json!({}))
            .await
            .problem(),
        reused
    );
    let part = json!({"amount": eur(1)});
    shop.ask_as("refund", &payment, "refund", &part)
        .await
        .payment(StatusCode::OK);
    assert_eq!(
        shop.ask_as("refund", &payment, "refund", &json!({"all": true}))
            .await
            .problem(),
        reused
    );
}

#[tokio::test]
async fn every_post_needs_a_key() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_approved").await;
    let of = |operation| format!("/payments/{}/{operation}", id(&payment));
    for path in [
        "/payments".to_owned(),
        of("capture"),
        of("void"),
        of("refund"),
    ] {
        let request = shop.service.http.post(shop.service.at(&path));
        let request = request
            .bearer_auth(crate::harness::TOKEN)
            .json(&order("tok_approved"));
        let answer = Answer::of(request).await;
        assert_eq!(answer.problem(), (400, "idempotency_key_missing"), "{path}");
    }
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let shop = Shop::open().await;
    let payment = shop
        .leave_authorising(&order("tok_approved"), "key", "'infinity'")
        .await;
    let early = shop
        .ask_as("capture", &payment, "capture", &json!({}))
        .await;
    assert_eq!(early.problem(), (409, "payment_busy"));
    shop.let_check(&payment).await;
    shop.becomes(&payment, "authorised").await;
    let later = shop
        .ask_as("capture", &payment, "capture", &json!({}))
        .await;
    assert_eq!(later.payment(StatusCode::OK)["status"], "captured");
}

#[tokio::test]
async fn a_key_is_bound_to_its_request_as_long_as_it_names_an_attempt() {
    let shop = Shop::open().await;
    let body = order("tok_approved");
    let first = Answer::of(shop.post("/payments", "key", &body))
        .await
        .payment(StatusCode::CREATED);
    // What is kept for some days only is gone.
    shop.rows("delete from idempotency returning key", &[])
        .await;
    let mut other = body.clone();
    other["amount"] = eur(2000);
    let reused = Answer::of(shop.post("/payments", "key", &other)).await;
    assert_eq!(reused.problem(), (422, "idempotency_key_reused"));
    let again = Answer::of(shop.post("/payments", "key", &body)).await;
    assert_eq!(again.payment(StatusCode::CREATED)["id"], first["id"]);
}
