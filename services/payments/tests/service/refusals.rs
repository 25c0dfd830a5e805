//! Every request that is refused: with which code, and that it leaves nothing behind.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Shop, eur, id, order};

#[tokio::test]
async fn a_wrong_payment_is_refused_and_not_stored() {
    let shop = Shop::open().await;
    let with = |pointer: &str, value: Value| {
        let mut body = order("tok_approved");
        *body.pointer_mut(pointer).expect("a field") = value;
        body
    };
    let cases = [
        (with("/token", json!("tok_made_up")), "unknown_token"),
        (with("/amount/amount", json!(0)), "invalid"),
        (with("/amount/amount", json!(-1)), "invalid"),
        (with("/amount/amount", json!(10_000_000_000_i64)), "invalid"),
        (with("/amount/amount", json!(19.99)), "invalid"),
        (with("/amount/amount", json!("1999")), "invalid"),
        (with("/amount/currency", json!("EURO")), "invalid"),
        (with("/amount/currency", json!("XAU")), "invalid"),
        (with("/order_id", json!("17")), "invalid"),
        (json!({}), "invalid"),
        (json!([]), "invalid"),
    ];
    for (n, (body, code)) in cases.iter().enumerate() {
        let answer = Answer::of(shop.post("/payments", &format!("wrong-{n}"), body)).await;
        assert_eq!(answer.problem(), (422, *code), "{body}");
    }
    let request = shop
        .post("/payments", "no-json", &json!({}))
        .body("{\"order_id\":");
    assert_eq!(Answer::of(request).await.problem(), (400, "malformed_json"));
    assert!(shop.rows("select from payments", &[]).await.is_empty());
}

#[tokio::test]
async fn the_largest_amount_is_taken() {
    let shop = Shop::open().await;
    let mut body = order("tok_approved");
    body["amount"]["amount"] = 9_999_999_999_i64.into();
    let answer = Answer::of(shop.post("/payments", "large", &body)).await;
    assert_eq!(answer.payment(StatusCode::CREATED)["status"], "authorised");
}

#[tokio::test]
async fn a_payment_that_does_not_exist_is_not_found() {
    let shop = Shop::open().await;
    let nobody = json!({"id": Uuid::now_v7()});
    for operation in ["capture", "void", "refund"] {
        let answer = shop.ask(&nobody, operation, &json!({"all": true})).await;
        assert_eq!(answer.problem(), (404, "not_found"), "{operation}");
    }
    let path = format!("/payments/{}", id(&nobody));
    assert_eq!(shop.get(&path).await.problem(), (404, "not_found"));
    assert_eq!(shop.get("/payments/17").await.problem(), (404, "not_found"));
    assert_eq!(
        shop.get("/payments?order_id=17").await.problem(),
        (422, "invalid")
    );
    assert_eq!(shop.get("/payments").await.problem(), (422, "invalid"));
}

#[tokio::test]
async fn what_the_state_does_not_allow_is_a_conflict_that_names_the_state() {
    let shop = Shop::open().await;
    let authorised = shop.pay("tok_approved").await;
    let declined = shop.pay("tok_declined").await;
    let captured = shop.captured().await;
    let voided = shop.pay("tok_approved").await;
    shop.ask(&voided, "void", &json!({}))
        .await
        .payment(StatusCode::OK);
    for (payment, operation, state) in [
        (&authorised, "refund", "authorised"),
        (&declined, "capture", "declined"),
        (&declined, "void", "declined"),
        (&declined, "refund", "declined"),
        (&captured, "capture", "captured"),
        (&captured, "void", "captured"),
        (&voided, "capture", "voided"),
        (&voided, "void", "voided"),
        (&voided, "refund", "voided"),
    ] {
        let answer = shop.ask(payment, operation, &json!({"all": true})).await;
        assert_eq!(
            answer.problem(),
            (409, "conflict"),
            "{operation} of a {state} payment"
        );
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("is {state}")), "{detail}");
        assert_eq!(shop.read(payment).await["status"], state);
    }
}

#[tokio::test]
async fn an_operation_beside_another_is_told_to_come_back() {
    let shop = Shop::open().await;
    let payment = shop
        .leave_authorising(&order("tok_approved"), "key", "'infinity'")
        .await;
    for operation in ["capture", "refund"] {
        let answer = shop.ask(&payment, operation, &json!({"all": true})).await;
        assert_eq!(answer.problem(), (409, "payment_busy"), "{operation}");
        assert_eq!(answer.retry_after.as_deref(), Some("1"), "{operation}");
    }
}

#[tokio::test]
async fn more_than_was_captured_is_never_refunded() {
    let shop = Shop::open().await;
    let payment = shop.captured().await;
    let too_much = shop
        .ask(&payment, "refund", &json!({"amount": eur(2000)}))
        .await;
    assert_eq!(too_much.problem(), (422, "refund_too_large"));
    assert!(too_much.body["detail"].as_str().unwrap().contains("1999"));

    let part = shop
        .ask(&payment, "refund", &json!({"amount": eur(1500)}))
        .await;
    part.payment(StatusCode::OK);
    let too_much = shop
        .ask(&payment, "refund", &json!({"amount": eur(500)}))
        .await;
    assert_eq!(too_much.problem(), (422, "refund_too_large"));

    let dollars = json!({"amount": {"amount": 1, "currency": "USD"}});
    assert_eq!(
        shop.ask(&payment, "refund", &dollars).await.problem(),
        (422, "other_currency")
    );
    let zero = shop
        .ask(&payment, "refund", &json!({"amount": eur(0)}))
        .await;
    assert_eq!(zero.problem(), (422, "invalid"));
    let misspelt = shop
        .ask(&payment, "refund", &json!({"ammount": eur(1)}))
        .await;
    assert_eq!(misspelt.problem(), (422, "invalid"));
    let nothing_said = [
        json!({}),
        json!([null]),
        json!([]),
        json!({"amount": [1, "EUR"]}),
        json!({"amount": null}),
        json!({"all": false}),
        json!({"all": true, "amount": eur(1)}),
    ];
    for body in nothing_said {
        let refused = shop.ask(&payment, "refund", &body).await;
        assert_eq!(refused.problem(), (422, "invalid"), "{body}");
    }
    assert_eq!(shop.read(&payment).await["refunded"], eur(1500));
}

#[tokio::test]
async fn eight_full_refunds_at_once_give_the_money_back_once() {
    let shop = Shop::open().await;
    let payment = shop.captured().await;
    let body = json!({"all": true});
    let answers =
        futures::future::join_all((0..8).map(|_| shop.ask(&payment, "refund", &body))).await;
    let done = answers
        .iter()
        .filter(|a| a.status == StatusCode::OK)
        .count();
    assert_eq!(done, 1, "{answers:?}");
    assert_eq!(shop.read(&payment).await["refunded"], eur(1999));
    let refunds = shop
        .rows("select from ledger_entries where account = 'refunds'", &[])
        .await;
    assert_eq!(refunds.len(), 1);
}
