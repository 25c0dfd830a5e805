//! Staff give money back, whatever becomes of payments and of its answers, and whatever protocol it speaks.

use chassis::testing::TestEvent;
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::open;
use crate::payments::Manner;
use crate::shop::{Answer, Person, Shop};

fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

fn part(amount: i64) -> Value {
    json!({ "amount": eur(amount) })
}

fn all() -> Value {
    json!({ "all": true })
}

fn key() -> String {
    Uuid::now_v7().to_string()
}

async fn refund(shop: &Shop, who: &Person, order: Uuid, key: &str, body: &Value) -> Answer {
    let path = format!("/orders/{order}/refunds");
    let headers = [("idempotency-key", key)];
    let body = Some(body.clone());
    shop.ask_with(who, Method::POST, &path, body, &headers)
        .await
}

/// An order of 20.00 EUR that is paid.
async fn paid(shop: &Shop) -> Uuid {
    shop.sell("mug", 1000, 10).await;
    let order = shop.buy(&Person::buyer(), "mug", 2).await;
    shop.until(order, "paid").await;
    order
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    let told = (answer.status.as_u16(), answer.code());
    assert_eq!(told, (status, code), "{}", answer.body);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.ends_with('.'), "a sentence for people: {detail}");
}

#[tokio::test]
async fn a_part_and_then_the_rest_are_given_back_and_the_event_alone_counts_them() {
    let shop = open().await;
    let (order, admin) = (paid(&shop).await, Person::admin());
    let first = refund(&shop, &admin, order, &key(), &part(500)).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let done = json!({"order_id": order, "status": "done", "refunded": eur(500)});
    assert_eq!(first.body, done);
    let read = shop.get(&admin, &format!("/orders/{order}")).await;
    assert_eq!(read.body["refunded"], eur(0), "nothing was heard yet");

    let data = json!({"payment_id": Uuid::now_v7(), "order_id": order, "amount": eur(500), "total": eur(500)});
    let event = TestEvent::now("shop.payments.payment.refunded.v1", "p", 3, data);
    shop.backends.deliver(&event).await;
    shop.service
        .until_processed("shop.payments.payment.refunded.v1", 1)
        .await;
    let read = shop.get(&admin, &format!("/orders/{order}")).await;
    assert_eq!(read.body["refunded"], eur(500));

    let rest = refund(&shop, &admin, order, &key(), &all()).await;
    assert_eq!(rest.body["refunded"], eur(2000), "{}", rest.body);
    let more = refund(&shop, &admin, order, &key(), &all()).await;
    assert_refused(&more, 422, "refund_too_large");
    assert_eq!(shop.payments.refunded(order), 2000);
}

#[tokio::test]
async fn two_clicks_are_one_refund() {
    let shop = open().await;
    let (order, admin, key) = (paid(&shop).await, Person::admin(), key());
    let body = part(700);
    let clicks = join_all((0..4).map(|_| refund(&shop, &admin, order, &key, &body))).await;
    for click in &clicks {
        assert_eq!(click.status, StatusCode::ACCEPTED, "{}", click.body);
        assert_eq!(click.body, clicks[0].body);
    }
    assert_eq!(shop.payments.refunded(order), 700);
    let other = refund(&shop, &admin, order, &key, &part(800)).await;
    assert_refused(&other, 422, "idempotency_key_reused");
    let all = refund(&shop, &admin, order, &key, &all()).await;
    assert_refused(&all, 422, "idempotency_key_reused");
    assert_eq!(shop.payments.refunded(order), 700);
}

#[tokio::test]
async fn two_of_the_staff_at_once_give_no_more_back_than_there_is() {
    let shop = open().await;
    let (order, key) = (paid(&shop).await, key());
    // They even chose the same key: it is each one's own.
    let (one, other) = (Person::admin(), Person::admin());
    let body = part(1500);
    let replica = shop.replica().await;
    let path = replica.at(&format!("/orders/{order}/refunds"));
    let through_another = replica.http.post(path).bearer_auth(other.token());
    let through_another = through_another.header("idempotency-key", &key).json(&body);
    let (one, other) = tokio::join!(
        refund(&shop, &one, order, &key, &body),
        crate::shop::answer(through_another)
    );
    let (done, refused) = match one.status {
        StatusCode::ACCEPTED => (one, other),
        _ => (other, one),
    };
    assert_eq!(done.status, StatusCode::ACCEPTED, "{}", done.body);
    assert_refused(&refused, 422, "refund_too_large");
    assert_eq!(shop.payments.refunded(order), 1500);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_and_gives_nothing_back_twice() {
    let shop = open().await;
    let (order, admin, key) = (paid(&shop).await, Person::admin(), key());
    shop.payments.take("refund", Manner::Hangs);
    let path = format!("/orders/{order}/refunds");
    let headers = [("idempotency-key", key.as_str()), ("x-deadline-ms", "700")];
    let lost = shop
        .ask_with(&admin, Method::POST, &path, Some(all()), &headers)
        .await;
    // Payments is given up in time to say so, if this machine is quick enough.
    assert!(
        matches!(lost.code(), "payments_away" | "deadline"),
        "{}",
        lost.body
    );
    assert!(lost.retry_after.is_some());
    assert_eq!(shop.payments.refunded(order), 2000, "it was done");
    shop.payments.take("refund", Manner::Fine);
    let again = refund(&shop, &admin, order, &key, &all()).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
    assert_eq!(again.body["refunded"], eur(2000));
    let keys: std::collections::HashSet<_> = shop
        .payments
        .calls(order)
        .into_iter()
        .filter(|call| call.operation == "refund")
        .map(|call| call.key)
        .collect();
    assert_eq!(keys.len(), 1, "payments can tell that it is a repeat");
}

#[tokio::test]
async fn a_payments_that_is_away_or_too_old_is_told_with_when_to_come_back() {
    let shop = open().await;
    let (order, admin, key) = (paid(&shop).await, Person::admin(), key());
    for (manner, code) in [
        (Manner::Unavailable, "payments_away"),
        (Manner::TooOld, "payments_too_old"),
    ] {
        shop.payments.take("refund", manner);
        let refused = refund(&shop, &admin, order, &key, &all()).await;
        assert_refused(&refused, 503, code);
        assert!(refused.retry_after.is_some(), "{manner:?}");
    }
    shop.payments.take("refund", Manner::Fine);
    shop.payments.proxy.cut();
    let refused = refund(&shop, &admin, order, &key, &all()).await;
    assert_refused(&refused, 503, "payments_away");
    shop.payments.proxy.heal();
    let done = refund(&shop, &admin, order, &key, &all()).await;
    assert_eq!(done.status, StatusCode::ACCEPTED, "{}", done.body);
    assert_eq!(shop.payments.refunded(order), 2000);
}

#[tokio::test]
async fn what_payments_says_no_to_is_said_in_the_words_of_the_order() {
    let shop = open().await;
    let (order, admin, key) = (paid(&shop).await, Person::admin(), key());
    for (manner, code) in [
        (Manner::Declines, "payment_busy"),
        (Manner::Refuses, "not_paid"),
        (Manner::ProviderRefuses, "refused_by_provider"),
    ] {
        shop.payments.take("refund", manner);
        let refused = refund(&shop, &admin, order, &key, &part(500)).await;
        assert_refused(&refused, 409, code);
        let is_to_come_back = code == "payment_busy";
        assert_eq!(refused.retry_after.is_some(), is_to_come_back, "{code}");
    }
    shop.payments.take("refund", Manner::StillAtIt);
    let refused = refund(&shop, &admin, order, &key, &part(500)).await;
    assert_refused(&refused, 409, "refused_by_provider");
    let taken = refund(&shop, &admin, order, &self::key(), &part(500)).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.body);
    assert_eq!(taken.body["status"], "processing");
    shop.payments.forget(order);
    let refused = refund(&shop, &admin, order, &self::key(), &part(500)).await;
    assert_refused(&refused, 409, "not_paid");
}

#[tokio::test]
async fn what_is_wrong_never_reaches_payments() {
    let shop = open().await;
    let (order, admin, buyer) = (paid(&shop).await, Person::admin(), Person::buyer());
    let dollars = json!({"amount": {"amount": 500, "currency": "USD"}});
    for (body, code) in [
        (part(2001), "refund_too_large"),
        (part(i64::MAX), "refund_too_large"),
        (dollars, "other_currency"),
        (part(0), "invalid"),
        (part(-1), "invalid"),
        (json!({"amout": eur(1)}), "invalid"),
        // What went astray on the way is not everything.
        (json!({}), "invalid"),
        (json!({"amount": null}), "invalid"),
        (json!({"all": false}), "invalid"),
        (json!({"amount": eur(1), "all": true}), "invalid"),
        (json!({"amount": 1}), "invalid"),
    ] {
        let refused = refund(&shop, &admin, order, &key(), &body).await;
        let told = (refused.status.as_u16(), refused.code());
        assert_eq!(told, (422, code), "{body}: {}", refused.body);
    }
    let refused = refund(&shop, &buyer, order, &key(), &all()).await;
    let told = (refused.status.as_u16(), refused.code());
    assert_eq!(told, (403, "forbidden"), "buyers do not refund");
    let path = format!("/orders/{order}/refunds");
    let keyless = shop.ask(&admin, Method::POST, &path, Some(all())).await;
    let told = (keyless.status.as_u16(), keyless.code());
    assert_eq!(told, (400, "idempotency_key_missing"));
    let unknown = refund(&shop, &admin, Uuid::now_v7(), &key(), &all()).await;
    assert_refused(&unknown, 404, "not_found");

    shop.payments.take("authorise", Manner::Declines);
    let cancelled = shop.buy(&buyer, "mug", 1).await;
    shop.until(cancelled, "cancelled").await;
    let refused = refund(&shop, &admin, cancelled, &key(), &all()).await;
    assert_refused(&refused, 409, "not_paid");
    let operations = [
        shop.payments.operations(order),
        shop.payments.operations(cancelled),
    ];
    assert!(!operations.concat().contains(&"refund"), "{operations:?}");
}
