//! A running service and the few words the tests speak with it.

use chassis::testing::{self, Backends, TestService, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use shop_reviews::Reviews;
use uuid::Uuid;

pub(crate) const ORDER_CONFIRMED: &str = "shop.orders.order.confirmed.v1";
pub(crate) const PRODUCT_UPSERTED: &str = "shop.search.product.upserted.v1";
pub(crate) const PRODUCT_REMOVED: &str = "shop.search.product.removed.v1";
pub(crate) const WRITTEN: &str = "shop.reviews.review.written.v1";
pub(crate) const REMOVED: &str = "shop.reviews.review.removed.v1";

pub(crate) struct Shop {
    pub(crate) backends: Backends,
    pub(crate) service: TestService,
}

/// Status and body of an answer; null where it has none.
pub(crate) type Answer = (u16, Value);

impl Shop {
    pub(crate) async fn open() -> Self {
        let backends = Backends::new().await;
        let users = testing::jwks_server().await;
        let service = testing::start::<Reviews>(&backends, &[("USERS_URL", &users)]).await;
        Self { backends, service }
    }

    /// Somebody whose order of this product is confirmed, as far as reviews has heard.
    pub(crate) async fn buyer_of(&self, sku: &str) -> Uuid {
        let buyer = Uuid::now_v7();
        self.buys(buyer, &[sku]).await;
        let what = format!("the purchase of {sku} is known");
        eventually(&what, || async {
            let sql = "select from purchases where buyer_id = $1 and sku = $2";
            let rows = testing::look(&self.backends.direct_db(), sql, &[&buyer, &sku]).await;
            (!rows.is_empty()).then_some(())
        })
        .await;
        buyer
    }

    /// Says that an order is confirmed.
    pub(crate) async fn buys(&self, buyer: Uuid, skus: &[&str]) {
        let item = |sku: &&str| json!({"sku": sku, "title": "A thing", "quantity": 1, "unit_price": {"amount": 500, "currency": "EUR"}});
        let (order, items): (_, Vec<_>) = (Uuid::now_v7(), skus.iter().map(item).collect());
        let data = json!({
            "order_id": order, "number": "A72489D4", "buyer_id": buyer, "items": items,
            "total": {"amount": 500, "currency": "EUR"}, "confirmed_at": "2026-01-02T03:04:05Z",
        });
        let order = order.to_string();
        let published = self
            .backends
            .publish_event(ORDER_CONFIRMED, &order, 2, data);
        published.await;
    }

    /// Says that a product came or went, and waits until reviews has heard `count` times of such.
    pub(crate) async fn product(&self, kind: &str, sku: &str, sequence: i64, count: usize) {
        let data = json!({"sku": sku});
        let published = self.backends.publish_event(kind, sku, sequence, data);
        published.await;
        self.service.until_processed(kind, count).await;
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.service.http.request(method, self.service.at(path))
    }

    /// As nobody.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn as_user(&self, user: Uuid, method: Method, path: &str) -> Answer {
        let request = self.request(method, path);
        answer(request.bearer_auth(testing::token(user, &[]))).await
    }

    pub(crate) async fn as_admin(&self, method: Method, path: &str) -> Answer {
        let token = testing::token(Uuid::now_v7(), &["admin"]);
        answer(self.request(method, path).bearer_auth(token)).await
    }

    /// Sends a review.
    pub(crate) async fn write(&self, user: Uuid, sku: &str, review: &Value) -> Answer {
        let request = self.request(Method::PUT, &mine(sku));
        answer(request.bearer_auth(testing::token(user, &[])).json(review)).await
    }

    /// A review of somebody who bought the product just now.
    pub(crate) async fn written(&self, sku: &str, stars: i64) -> (Uuid, Value) {
        let buyer = self.buyer_of(sku).await;
        let (status, review) = self.write(buyer, sku, &review(stars)).await;
        assert_eq!(status, 201, "{review}");
        (buyer, review)
    }

    /// The reviews that everybody sees, and count and stars of the rating.
    pub(crate) async fn shown(&self, sku: &str) -> (Vec<Value>, i64, i64) {
        let (_, list) = self.get(&format!("/products/{sku}/reviews")).await;
        let (_, rating) = self.get(&format!("/products/{sku}/rating")).await;
        let items = list["items"].as_array().expect("a list").clone();
        let number = |name: &str| rating[name].as_i64().expect("a number");
        (items, number("count"), number("stars"))
    }

    /// Waits until the stream holds `count` events of this kind.
    pub(crate) async fn published(&self, kind: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} events {kind} are published"), || async {
            let events = self.backends.published(kind).await;
            (events.len() >= count).then_some(events)
        })
        .await
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

pub(crate) fn mine(sku: &str) -> String {
    format!("/products/{sku}/reviews/mine")
}

pub(crate) fn review(stars: i64) -> Value {
    json!({"stars": stars, "title": "Holds tea", "text": "And more of it.", "name": "Zoë"})
}

/// Status and code of a problem.
#[track_caller]
pub(crate) fn problem(answer: &Answer) -> (u16, &str) {
    let code = answer.1["code"].as_str();
    (
        answer.0,
        code.unwrap_or_else(|| panic!("no problem: {answer:?}")),
    )
}
