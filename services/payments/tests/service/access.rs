//! Only callers that show the token are let in, and the service does not start without one.

use chassis::{Env, Service};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shop_payments::Payments;

use crate::harness::{Answer, Shop, id, order};

#[tokio::test]
async fn nothing_is_answered_without_the_token() {
    let shop = Shop::open().await;
    let payment = shop.pay("tok_approved").await;
    let of = |rest: &str| format!("/payments/{}{rest}", id(&payment));
    for (method, path) in [
        (Method::POST, "/payments".to_owned()),
        (
            Method::GET,
            format!(
                "/payments?order_id={}",
                payment["order_id"].as_str().unwrap()
            ),
        ),
        (Method::GET, of("")),
        (Method::POST, of("/capture")),
        (Method::POST, of("/void")),
        (Method::POST, of("/refund")),
        (Method::GET, "/ledger".to_owned()),
    ] {
        let request = || {
            let url = shop.service.at(&path);
            let request = shop
                .service
                .http
                .request(method.clone(), url)
                .json(&order("tok_approved"));
            request.header("idempotency-key", "stranger")
        };
        let wrong = [
            "wrong",
            "",
            "the-token-that-callers-sho",
            "the-token-that-callers-show2",
        ];
        for token in wrong {
            let answer = Answer::of(request().bearer_auth(token)).await;
            assert_eq!(
                answer.problem(),
                (401, "unauthenticated"),
                "{method} {path} {token}"
            );
        }
        assert_eq!(
            Answer::of(request()).await.status,
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
    assert_eq!(shop.read(&payment).await, payment);
    assert_eq!(shop.rows("select from payments", &[]).await.len(), 1);
}

#[tokio::test]
async fn a_caller_with_the_token_comes_before_a_wrong_body() {
    let shop = Shop::open().await;
    let request = shop
        .service
        .http
        .post(shop.service.at("/payments"))
        .json(&json!({}));
    assert_eq!(
        Answer::of(request).await.problem(),
        (401, "unauthenticated")
    );
}

#[test]
fn the_service_does_not_start_without_a_token() {
    let error = Payments::settings(&Env::default()).err().expect("an error");
    assert_eq!(
        error.to_string(),
        "setting API_TOKEN is missing: give the bearer token that callers of payments must show"
    );
}
