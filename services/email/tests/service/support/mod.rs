//! What every test here needs: the service on its back ends, an admin's requests, events as others would publish them.

pub(crate) mod sink;

use chassis::testing::{self, Backends, TestService, eventually};
use reqwest::Response;
use serde_json::{Value, json};
use shop_email::Email;
use uuid::Uuid;

pub(crate) const USER_REGISTERED: &str = "shop.users.user.registered.v1";
pub(crate) const ORDER_CONFIRMED: &str = "shop.orders.order.confirmed.v1";
pub(crate) const ORDER_CANCELLED: &str = "shop.orders.order.cancelled.v1";
pub(crate) const ORDER_REFUNDED: &str = "shop.orders.order.refunded.v1";
pub(crate) const EMAIL_SENT: &str = "shop.email.email.sent.v1";
pub(crate) const EMAIL_BOUNCED: &str = "shop.email.email.bounced.v1";

/// Settings that send mails in the clear to a sink on this port.
pub(crate) fn smtp(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("SMTP_HOST", "127.0.0.1".to_owned()),
        ("SMTP_PORT", port.to_string()),
        ("SMTP_TLS", "None".to_owned()),
        ("MAIL_FROM", "Demo <shop@shop.example>".to_owned()),
    ]
}

/// The service, ready, with these settings.
pub(crate) async fn start(backends: &Backends, settings: &[(&'static str, String)]) -> TestService {
    let users = testing::jwks_server().await;
    let mut all = vec![("USERS_URL", users.as_str())];
    all.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
    testing::start::<Email>(backends, &all).await
}

/// Says that somebody has registered, and returns their id.
pub(crate) async fn register(backends: &Backends, address: &str, name: &str) -> Uuid {
    let user = Uuid::now_v7();
    register_as(backends, user, address, name).await;
    user
}

pub(crate) async fn register_as(backends: &Backends, user: Uuid, address: &str, name: &str) {
    let data = json!({"user_id": user, "email": address, "name": name});
    backends
        .publish_event(USER_REGISTERED, &user.to_string(), 1, data)
        .await;
}

/// The data of `order.confirmed`.
pub(crate) fn confirmed(order: Uuid, buyer: Uuid) -> Value {
    json!({
        "order_id": order, "buyer_id": buyer,
        "items": [{"sku": "tea-1", "title": "Tea <pot>", "quantity": 2, "unit_price": {"amount": 1999, "currency": "EUR"}}],
        "total": {"amount": 3998, "currency": "EUR"},
        "confirmed_at": "2026-01-02T03:04:05Z",
    })
}

/// The data of `order.cancelled`.
pub(crate) fn cancelled(order: Uuid, buyer: Uuid) -> Value {
    json!({
        "order_id": order, "buyer_id": buyer, "reason": "payment_declined",
        "total": {"amount": 3998, "currency": "EUR"},
    })
}

/// The data of `order.refunded`; `refunded` is what was given back so far.
pub(crate) fn refunded(order: Uuid, buyer: Uuid, refunded: i64) -> Value {
    let euro = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    json!({
        "order_id": order, "number": "A72489D4", "buyer_id": buyer,
        "amount": euro(500), "refunded": euro(refunded), "total": euro(3998),
    })
}

/// A GET with an administrator's token.
pub(crate) async fn get(service: &TestService, path: &str) -> Response {
    service
        .http
        .get(service.at(path))
        .bearer_auth(testing::token(Uuid::now_v7(), &["admin"]))
        .send()
        .await
        .unwrap()
}

/// A POST without a body, with an administrator's token.
pub(crate) async fn post(service: &TestService, path: &str) -> Response {
    service
        .http
        .post(service.at(path))
        .bearer_auth(testing::token(Uuid::now_v7(), &["admin"]))
        .send()
        .await
        .unwrap()
}

/// How the delivery stands.
pub(crate) async fn delivery(service: &TestService) -> Value {
    let answer = get(service, "/delivery").await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// The mails of a list request.
pub(crate) async fn mails(service: &TestService, query: &str) -> Vec<Value> {
    let answer = get(service, &format!("/mails?{query}")).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    body["items"].as_array().unwrap().clone()
}

/// Waits until there are `count` mails for the query and all have this status.
pub(crate) async fn mails_with(
    service: &TestService,
    query: &str,
    count: usize,
    status: &str,
) -> Vec<Value> {
    eventually(
        &format!("{count} mails of {query} are {status}"),
        || async {
            let mails = mails(service, query).await;
            let done = mails.len() == count && mails.iter().all(|mail| mail["status"] == status);
            done.then_some(mails)
        },
    )
    .await
}

/// Waits until the stream holds `count` events of this kind, and returns their data.
pub(crate) async fn published(backends: &Backends, subject: &str, count: usize) -> Vec<Value> {
    eventually(
        &format!("{count} events {subject} are published"),
        || async {
            let events = backends.published(subject).await;
            (events.len() >= count).then_some(events)
        },
    )
    .await
    .into_iter()
    .map(|event| event["data"].clone())
    .collect()
}
