//! What each token leads to, and the way of a payment from authorised to refunded.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Shop, eur, order};

#[tokio::test]
async fn an_approved_token_is_authorised_at_once() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_approved").await;
    assert_eq!(payment["status"], "authorised");
    assert_eq!(payment["amount"], eur(1999));
    assert_eq!(payment["captured"], eur(0));
    assert_eq!(payment.get("decline_reason"), None);
    let event = shop.until_published("payment.authorised", &payment).await;
    assert_eq!(
        event["data"],
        json!({"payment_id": payment["id"], "order_id": payment["order_id"], "amount": eur(1999)})
    );
    assert_eq!(event["subject"], payment["id"]);
}

#[tokio::test]
async fn a_declined_token_says_why() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_declined").await;
    assert_eq!(payment["status"], "declined");
    assert_eq!(payment["decline_reason"], "card_declined");
    let event = shop.until_published("payment.failed", &payment).await;
    assert_eq!(event["data"]["reason"], "card_declined");
}

#[tokio::test]
async fn a_slow_token_is_waited_for() {
    let shop = Shop::open().await;
    let started = Instant::now();
    let payment = shop.pay("tok_slow").await;
    assert_eq!(payment["status"], "authorised");
    assert!(started.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_slow_token_that_the_caller_cannot_wait_for_is_processing_and_then_authorised() {
    let shop = Shop::open().await;
    let answers = |at| {
        format!(
            "create or replace function simulator.slow() returns trigger language plpgsql
             as $$ begin new.answers_at = {at}; return new; end $$"
        )
    };
    // For longer than any caller waits. The provider gets ten seconds of this one's thirty: the rest is there to store the
    // answer, on a machine however busy.
    let slow = "create trigger slow before insert or update on simulator.requests
                for each row execute function simulator.slow()";
    let never = answers("now() + interval '1 hour'");
    shop.run(&format!("{never}; {slow}")).await;
    let request = shop
        .post("/payments", "hurried", &order("tok_slow"))
        .header("x-deadline-ms", "30000");
    let payment = Answer::of(request).await.payment(StatusCode::CREATED);
    assert_eq!(payment["status"], "processing");
    shop.run(&answers("now()")).await;
    shop.becomes(&payment, "authorised").await;
}

#[tokio::test]
async fn an_unknown_outcome_is_processing_until_the_provider_knows() {
    let shop = Shop::open().await;
    for (token, end, event) in [
        ("tok_unknown", "authorised", "payment.authorised"),
        ("tok_unknown_declined", "declined", "payment.failed"),
    ] {
        let payment = shop.pay(token).await;
        assert_eq!(payment["status"], "processing", "{token}");
        shop.becomes(&payment, end).await;
        shop.until_published(event, &payment).await;
        let key = format!("{}:authorise:1", payment["id"].as_str().unwrap());
        assert_eq!(shop.asked(&payment).await, [(key, 2)], "{token}");
    }
}

#[tokio::test]
async fn a_token_is_forgotten_once_the_provider_has_answered() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_unknown").await;
    shop.becomes(&payment, "authorised").await;
    let kept = shop
        .rows("select from attempts where token is not null", &[])
        .await;
    assert!(kept.is_empty());
}

#[tokio::test]
async fn a_captured_payment_can_be_refunded_in_parts() {
    let shop = Shop::open().await;
    let payment = shop.captured().await;
    assert_eq!(payment["status"], "captured");
    assert_eq!(payment["captured"], eur(1999));

    let part = shop
        .ask(&payment, "refund", &json!({"amount": eur(500)}))
        .await;
    let part = part.payment(StatusCode::OK);
    assert_eq!(part["status"], "partially_refunded");
    assert_eq!(part["refunded"], eur(500));

    let rest = shop
        .ask(&payment, "refund", &json!({"all": true}))
        .await
        .payment(StatusCode::OK);
    assert_eq!(rest["status"], "refunded");
    assert_eq!(rest["refunded"], eur(1999));
    assert_eq!(shop.read(&payment).await, rest);
}

#[tokio::test]
async fn every_step_is_said_once_and_in_order() {
    let shop = Shop::open().await;
    let payment = shop.captured().await;
    for amount in [500, 1499] {
        let answer = shop
            .ask(&payment, "refund", &json!({"amount": eur(amount)}))
            .await;
        answer.payment(StatusCode::OK);
    }
    chassis::testing::eventually("both refunds are published", || async {
        (shop.published("payment.refunded", &payment).await.len() == 2).then_some(())
    })
    .await;
    shop.until_published("payment.authorised", &payment).await;
    shop.until_published("payment.captured", &payment).await;
    let refunded = shop.published("payment.refunded", &payment).await;
    assert_eq!(refunded[1]["data"]["amount"], eur(1499));
    assert_eq!(refunded[1]["data"]["total"], eur(1999));
    let authorised = shop.published("payment.authorised", &payment).await;
    let captured = shop.published("payment.captured", &payment).await;
    assert_eq!((authorised.len(), captured.len()), (1, 1));
    let sequence = |event: &Value| event["sequence"].as_i64().unwrap();
    let sequences = [&authorised[0], &captured[0], &refunded[0], &refunded[1]].map(sequence);
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
}

#[tokio::test]
async fn an_authorised_payment_can_be_voided() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_approved").await;
    let voided = shop
        .ask(&payment, "void", &json!({}))
        .await
        .payment(StatusCode::OK);
    assert_eq!(voided["status"], "voided");
    assert_eq!(voided["captured"], eur(0));
}

#[tokio::test]
async fn a_void_asked_for_while_the_outcome_is_unknown_holds_no_money_in_the_end() {
    let shop = Shop::open().await;
    for (token, end) in [("tok_approved", "voided"), ("tok_declined", "declined")] {
        let key = format!("void-{token}");
        let payment = shop
            .leave_authorising(&order(token), token, "'infinity'")
            .await;
        let answer = shop.ask_as(&key, &payment, "void", &json!({})).await;
        assert_eq!(
            answer.payment(StatusCode::OK)["status"],
            "processing",
            "{token}"
        );

        shop.let_check(&payment).await;
        shop.becomes(&payment, end).await;
        let again = shop.ask_as(&key, &payment, "void", &json!({})).await;
        assert_eq!(again.payment(StatusCode::OK)["status"], end, "{token}");
        assert!(
            shop.published("payment.authorised", &payment)
                .await
                .is_empty(),
            "{token}"
        );
    }
}

#[tokio::test]
async fn the_payments_of_an_order_are_listed_newest_first() {
    let shop = Shop::open().await;
    let mut body = order("tok_declined");
    let first = Answer::of(shop.post("/payments", "first", &body))
        .await
        .payment(StatusCode::CREATED);
    body["token"] = "tok_approved".into();
    let second = Answer::of(shop.post("/payments", "second", &body))
        .await
        .payment(StatusCode::CREATED);
    shop.pay("tok_approved").await;

    let path = format!("/payments?order_id={}", first["order_id"].as_str().unwrap());
    let list = shop.get(&path).await;
    assert_eq!(
        list.payment(StatusCode::OK),
        json!({"items": [second, first]})
    );
}

#[tokio::test]
async fn the_provider_is_measured() {
    let shop = Shop::open().await;
    shop.pay("tok_declined").await;
    let metrics = shop.service.metrics().await;
    let line = r#"shop_payments_provider_duration_seconds_count{operation="authorise",outcome="refused"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn two_connections_are_enough_for_many_payments_at_once() {
    let shop = Shop::open_with(&[("DATABASE_MAX_CONNECTIONS", "2")]).await;
    let payments = futures::future::join_all((0..8).map(|_| shop.captured())).await;
    assert!(
        payments.iter().all(|p| p["status"] == "captured"),
        "{payments:?}"
    );
    let unknown = shop.pay("tok_unknown").await;
    shop.becomes(&unknown, "authorised").await;
    assert!(shop.backends.connections().await <= 2);
}

#[tokio::test]
async fn a_later_migration_disturbs_no_payment() {
    let shop = Shop::open_with(&[("DATABASE_MAX_CONNECTIONS", "2")]).await;
    let whole_way = || async {
        let payment = shop.captured().await;
        let order = payment["order_id"].as_str().expect("an id");
        let listed = shop.get(&format!("/payments?order_id={order}")).await;
        assert_eq!(listed.status, StatusCode::OK);
        let refund = json!({"amount": eur(500)});
        let refunded = shop.ask(&payment, "refund", &refund).await;
        assert_eq!(refunded.payment(StatusCode::OK)["refunded"], eur(500));
        let payment = shop.pay("tok_approved").await;
        let voided = shop.ask(&payment, "void", &json!({})).await;
        voided.payment(StatusCode::OK);
    };
    // Often enough that every connection of the pool has kept the statements.
    for _ in 0..4 {
        whole_way().await;
    }
    shop.backends.widen_tables().await;
    whole_way().await;
    let slow = shop.pay("tok_slow").await;
    assert_eq!(slow["status"], "authorised");
}
