//! The service with everything around it, and the few things every test does.

use chassis::db::ToSql;
use chassis::testing::{self, Backends, TestService, eventually, look};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shop_orders::Orders;
use uuid::Uuid;

use crate::payments::{self, Payments, Protocol};

pub(crate) struct Shop {
    pub(crate) backends: Backends,
    pub(crate) payments: Payments,
    pub(crate) service: TestService,
    users_url: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) etag: Option<String>,
}

/// Someone who asks.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    token: String,
}

impl Person {
    pub(crate) fn buyer() -> Self {
        Self::with(&["buyer"])
    }

    pub(crate) fn admin() -> Self {
        Self::with(&["admin"])
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    fn with(roles: &[&str]) -> Self {
        let id = Uuid::now_v7();
        let token = testing::token(id, roles);
        Self { id, token }
    }
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The id of a placed order.
    pub(crate) fn order(&self) -> Uuid {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{}", self.body);
        self.body["id"].as_str().unwrap().parse().unwrap()
    }
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// With payments asked over this protocol.
    pub(crate) async fn open_over(protocol: Protocol) -> Self {
        Self::new(protocol, &[]).await
    }

    /// With these settings beside the usual ones.
    pub(crate) async fn open_with(settings: &[(&str, &str)]) -> Self {
        Self::new(Protocol::Http, settings).await
    }

    async fn new(protocol: Protocol, settings: &[(&str, &str)]) -> Self {
        let backends = Backends::new().await;
        let payments = Payments::start(protocol).await;
        let users_url = testing::jwks_server().await;
        let service = instance(&backends, &payments, &users_url, settings).await;
        Self {
            backends,
            payments,
            service,
            users_url,
        }
    }

    /// Another replica on the same database and broker.
    pub(crate) async fn replica(&self) -> TestService {
        instance(&self.backends, &self.payments, &self.users_url, &[]).await
    }

    pub(crate) async fn ask(
        &self,
        who: &Person,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.ask_with(who, method, path, body, &[]).await
    }

    pub(crate) async fn ask_with(
        &self,
        who: &Person,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self
            .service
            .http
            .request(method, self.service.at(path))
            .bearer_auth(&who.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub(crate) async fn get(&self, who: &Person, path: &str) -> Answer {
        self.ask(who, Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.ask(who, Method::PUT, path, Some(body)).await
    }

    /// What a buyer sends who has just looked at the cart.
    pub(crate) async fn checkout(&self, who: &Person) -> Value {
        let cart = eventually("the cart is read", || async {
            let cart = self.get(who, "/cart").await;
            (cart.status == StatusCode::OK).then_some(cart.body)
        })
        .await;
        let total = match &cart["total"] {
            Value::Null => json!({"amount": 0, "currency": "EUR"}),
            total => total.clone(),
        };
        json!({"cart_version": cart["version"], "expected_total": total, "payment_token": "tok_approved"})
    }

    /// Looks at the cart and checks out with `key`.
    pub(crate) async fn order(&self, who: &Person, key: &str) -> Answer {
        let body = self.checkout(who).await;
        self.order_as(who, key, &body).await
    }

    /// Checks out with `key` and this body.
    pub(crate) async fn order_as(&self, who: &Person, key: &str, body: &Value) -> Answer {
        let headers = [("idempotency-key", key)];
        self.ask_with(who, Method::POST, "/orders", Some(body.clone()), &headers)
            .await
    }

    /// Checks out as a client should: who is told to come back does so, with the same key.
    pub(crate) async fn order_patiently(&self, who: &Person) -> Uuid {
        let key = Uuid::now_v7().to_string();
        let body = self.checkout(who).await;
        eventually("the order is placed", || async {
            let answer = self.order_as(who, &key, &body).await;
            (answer.status != StatusCode::SERVICE_UNAVAILABLE).then(|| answer.order())
        })
        .await
    }

    /// Has something on offer, as search says, with stock.
    pub(crate) async fn sell(&self, sku: &str, amount: i64, on_hand: i32) {
        self.offer(sku, 1, amount, "EUR").await;
        let stock = self
            .put(
                &Person::admin(),
                &format!("/stock/{sku}"),
                json!({"on_hand": on_hand}),
            )
            .await;
        assert_eq!(stock.status, StatusCode::OK, "{}", stock.body);
    }

    /// Says that search sells something no more, and waits until orders knows.
    pub(crate) async fn withdraw(&self, sku: &str, sequence: i64) {
        let data = json!({"sku": sku});
        self.backends
            .publish_event("shop.search.product.removed.v1", sku, sequence, data)
            .await;
        eventually("the offer is gone", || async {
            let sql = "select from offers where sku = $1 and removed";
            (!self.look(sql, &[&sku]).await.is_empty()).then_some(())
        })
        .await;
    }

    /// Says that search sells something, and waits until orders knows.
    pub(crate) async fn offer(&self, sku: &str, sequence: i64, amount: i64, currency: &str) {
        let data = json!({
            "sku": sku, "title": format!("Title of {sku}"), "brand": "B", "category": "C",
            "price": {"amount": amount, "currency": currency},
        });
        self.backends
            .publish_event("shop.search.product.upserted.v1", sku, sequence, data)
            .await;
        eventually("the offer is known", || async {
            let sql = "select from offers where sku = $1 and amount = $2 and currency = $3 and not removed";
            (!self.look(sql, &[&sku, &amount, &currency]).await.is_empty()).then_some(())
        })
        .await;
    }

    pub(crate) async fn fill_cart(&self, who: &Person, sku: &str, quantity: i32) {
        let path = format!("/cart/items/{sku}");
        let cart = self.put(who, &path, json!({"quantity": quantity})).await;
        assert_eq!(cart.status, StatusCode::OK, "{}", cart.body);
    }

    /// Puts one product into the cart and checks out.
    pub(crate) async fn buy(&self, who: &Person, sku: &str, quantity: i32) -> Uuid {
        self.fill_cart(who, sku, quantity).await;
        self.order_patiently(who).await
    }

    /// Waits until the order is in `state`, and returns it.
    pub(crate) async fn until(&self, order: Uuid, state: &str) -> Value {
        let admin = Person::admin();
        let path = format!("/orders/{order}");
        eventually(&format!("the order is {state}"), || async {
            let order = self.get(&admin, &path).await;
            (order.body["state"] == state).then_some(order.body)
        })
        .await
    }

    /// Payments has authorised the order at last, and says so.
    pub(crate) async fn settle(&self, order: Uuid) {
        self.payments.settle(order, "authorised");
        let data = json!({"payment_id": Uuid::now_v7(), "order_id": order, "amount": {"amount": 100, "currency": "EUR"}});
        self.backends
            .publish_event("shop.payments.payment.authorised.v1", "p", 1, data)
            .await;
    }

    /// Waits until the checkout has nothing left to do.
    pub(crate) async fn until_ended(&self, order: Uuid) {
        eventually("the saga has ended", || async {
            let sql = "select from sagas where order_id = $1 and step = 'ended'";
            (!self.look(sql, &[&order]).await.is_empty()).then_some(())
        })
        .await;
    }

    /// The time for the authorisation is over.
    pub(crate) async fn let_time_run_out(&self, order: Uuid) {
        let sql = "update sagas set deadline = now(), due_at = least(due_at, now()) where order_id = $1 returning order_id";
        assert_eq!(self.look(sql, &[&order]).await.len(), 1);
    }

    /// `on_hand`, `reserved`, `available`.
    pub(crate) async fn stock(&self, sku: &str) -> (i64, i64, i64) {
        let stock = self
            .get(&Person::buyer(), &format!("/stock/{sku}"))
            .await
            .body;
        let number = |name: &str| stock[name].as_i64().unwrap();
        (number("on_hand"), number("reserved"), number("available"))
    }

    pub(crate) async fn timeline(&self, order: Uuid) -> Vec<Value> {
        let told = self
            .get(&Person::admin(), &format!("/orders/{order}/timeline"))
            .await;
        told.body["entries"].as_array().expect("entries").clone()
    }

    /// `service step outcome` of each entry.
    pub(crate) async fn story(&self, order: Uuid) -> Vec<String> {
        let word = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        self.timeline(order)
            .await
            .iter()
            .map(|e| {
                format!(
                    "{} {} {}",
                    word(e, "service"),
                    word(e, "step"),
                    word(e, "outcome")
                )
            })
            .collect()
    }

    pub(crate) async fn look(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Vec<chassis::db::Row> {
        look(&self.backends.direct_db(), sql, params).await
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.look(sql, &[]).await[0].get(0)
    }

    /// What must hold at every moment: every order has its parts, and what is reserved is reserved for a pending order.
    pub(crate) async fn assert_books_are_right(&self) {
        for (what, sql) in [
            (
                "reserved units that belong to no reservation",
                "select count(*) from stock where reserved <>
                 (select coalesce(sum(quantity), 0) from reservations where reservations.sku = stock.sku)",
            ),
            (
                "reservations of orders that are not pending",
                "select count(*) from reservations join orders on orders.id = order_id where state <> 'pending'",
            ),
            (
                "pending orders whose lines are not reserved",
                "select count(*) from orders join order_lines on order_id = id where state = 'pending' and not exists
                 (select from reservations r where r.order_id = id and r.sku = order_lines.sku and r.quantity = order_lines.quantity)",
            ),
            (
                "orders without saga",
                "select count(*) from orders where not exists (select from sagas where order_id = id)",
            ),
            (
                "orders whose lines do not make the total",
                "select count(*) from orders where total_amount <>
                 (select sum(quantity * unit_amount) from order_lines where order_id = id)",
            ),
            (
                "orders of which nothing was published",
                "select count(*) from orders where not exists
                 (select from outbox where subject = 'shop.orders.order.placed.v1' and envelope like '%' || id || '%')",
            ),
            (
                "tokens that are kept for nothing",
                "select count(*) from sagas where payment_token is not null and step <> 'authorise'",
            ),
        ] {
            assert_eq!(self.count(sql).await, 0, "{what}");
        }
    }
}

async fn instance(
    backends: &Backends,
    payments: &Payments,
    users_url: &str,
    settings: &[(&str, &str)],
) -> TestService {
    let url = payments.url();
    let usual = [
        ("USERS_URL", users_url),
        ("PAYMENTS_URL", url.as_str()),
        ("PAYMENTS_TOKEN", payments::TOKEN),
    ];
    testing::start::<Orders>(backends, &[&usual, settings].concat()).await
}

/// Sends, and reads whatever comes back.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    let (location, retry_after) = (header("location"), header("retry-after"));
    let etag = header("etag");
    let status = response.status();
    let text = response.text().await.expect("a body");
    Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        location,
        retry_after,
        etag,
    }
}
