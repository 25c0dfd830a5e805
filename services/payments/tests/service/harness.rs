//! A running service and the few words the tests speak with it.

use chassis::db::{Db, Row, ToSql};
use chassis::testing::{self, Backends, TestService, eventually};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shop_payments::Payments;
use uuid::Uuid;

pub(crate) const TOKEN: &str = "the-token-that-callers-show";

pub(crate) struct Shop {
    pub(crate) backends: Backends,
    pub(crate) service: TestService,
    pub(crate) db: Db,
}

/// An answer: status, `Retry-After`, body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let header = response.headers().get("retry-after");
        Self {
            status: response.status(),
            retry_after: header.map(|v| v.to_str().expect("a number").to_owned()),
            body: response.json().await.expect("JSON"),
        }
    }

    /// The payment in a successful answer.
    #[track_caller]
    pub(crate) fn payment(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Status and code of a problem.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, &str) {
        let code = self.body["code"].as_str();
        (
            self.status.as_u16(),
            code.unwrap_or_else(|| panic!("no problem: {}", self.body)),
        )
    }
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// With these settings beside the usual ones.
    pub(crate) async fn open_with(settings: &[(&str, &str)]) -> Self {
        let backends = Backends::new().await;
        let settings = [&[("API_TOKEN", TOKEN)], settings].concat();
        let service = testing::start::<Payments>(&backends, &settings).await;
        let db = backends.direct_db();
        Self {
            backends,
            service,
            db,
        }
    }

    /// Another replica of the same service.
    pub(crate) async fn replica(&self) -> TestService {
        testing::start::<Payments>(&self.backends, &[("API_TOKEN", TOKEN)]).await
    }

    pub(crate) fn post(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        post(&self.service, path, key, body)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(
            self.service
                .http
                .get(self.service.at(path))
                .bearer_auth(TOKEN),
        )
        .await
    }

    /// A new payment of 19.99 EUR.
    pub(crate) async fn pay(&self, token: &str) -> Value {
        let key = Uuid::now_v7().to_string();
        let answer = Answer::of(self.post("/payments", &key, &order(token))).await;
        answer.payment(StatusCode::CREATED)
    }

    /// `capture`, `void` or `refund` of a payment, with a new key.
    pub(crate) async fn ask(&self, payment: &Value, operation: &str, body: &Value) -> Answer {
        self.ask_as(&Uuid::now_v7().to_string(), payment, operation, body)
            .await
    }

    pub(crate) async fn ask_as(
        &self,
        key: &str,
        payment: &Value,
        operation: &str,
        body: &Value,
    ) -> Answer {
        let path = format!("/payments/{}/{operation}", id(payment));
        Answer::of(self.post(&path, key, body)).await
    }

    /// A captured payment of 19.99 EUR.
    pub(crate) async fn captured(&self) -> Value {
        let payment = self.pay("tok_approved").await;
        let answer = self.ask(&payment, "capture", &json!({})).await;
        answer.payment(StatusCode::OK)
    }

    /// The payment as it is now.
    pub(crate) async fn read(&self, payment: &Value) -> Value {
        let path = format!("/payments/{}", id(payment));
        self.get(&path).await.payment(StatusCode::OK)
    }

    /// Waits until the payment has `status`.
    pub(crate) async fn becomes(&self, payment: &Value, status: &str) -> Value {
        eventually(&format!("the payment is {status}"), || async {
            let now = self.read(payment).await;
            (now["status"] == status).then_some(now)
        })
        .await
    }

    pub(crate) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        testing::look(&self.db, sql, params).await
    }

    /// Runs statements without parameters in the service's database.
    pub(crate) async fn run(&self, sql: &str) {
        let connection = self.db.get().await.expect("a connection");
        connection.batch_execute(sql).await.expect("the statements");
    }

    /// How often the provider was asked under each of its keys that begin with the payment's id.
    pub(crate) async fn asked(&self, payment: &Value) -> Vec<(String, i32)> {
        let sql = "select key, asked from simulator.requests where key like $1 || '%' order by received_at";
        let rows = self.rows(sql, &[&id(payment).to_string()]).await;
        rows.iter().map(|r| (r.get(0), r.get(1))).collect()
    }

    /// What a process leaves behind that dies right after the first transaction of a new payment: an attempt that was
    /// never sent and that is due at `when`.
    pub(crate) async fn leave_authorising(&self, body: &Value, key: &str, when: &str) -> Value {
        let payment = json!({"id": Uuid::now_v7()});
        let uuid = |field: &str| body[field].as_str().unwrap().parse::<Uuid>().unwrap();
        let sql = format!(
            "with payment as (
                 insert into payments (id, order_id, buyer_id, amount, currency, state)
                 values ($1, $2, $3, 1999, 'EUR', 'authorising') returning id
             )
             insert into attempts (id, payment_id, sequence, operation, amount, token, idempotency_key, status, next_check_at)
             select $4, id, 1, 'authorise', 1999, $5, $6, 'processing', {when} from payment"
        );
        let (order, buyer) = (uuid("order_id"), uuid("buyer_id"));
        let token = body["token"].as_str().unwrap();
        self.rows(
            &sql,
            &[&id(&payment), &order, &buyer, &Uuid::now_v7(), &token, &key],
        )
        .await;
        payment
    }

    /// Ends the lease or the pause of the payment's attempt: the provider is asked with the next round.
    pub(crate) async fn let_check(&self, payment: &Value) {
        let sql = "
            update attempts set next_check_at = now() where payment_id = $1 and status = 'processing' returning id";
        assert_eq!(self.rows(sql, &[&id(payment)]).await.len(), 1);
    }

    /// The data of the events of one kind about a payment.
    pub(crate) async fn published(&self, event: &str, payment: &Value) -> Vec<Value> {
        let subject = format!("shop.payments.{event}.v1");
        let all = self.backends.published(&subject).await;
        all.into_iter()
            .filter(|e| e["data"]["payment_id"] == payment["id"])
            .collect()
    }

    /// Waits for an event of one kind about a payment.
    pub(crate) async fn until_published(&self, event: &str, payment: &Value) -> Value {
        eventually(&format!("{event} is published"), || async {
            self.published(event, payment).await.pop()
        })
        .await
    }
}

pub(crate) fn post(service: &TestService, path: &str, key: &str, body: &Value) -> RequestBuilder {
    service
        .http
        .post(service.at(path))
        .bearer_auth(TOKEN)
        .header("idempotency-key", key)
        .json(body)
}

/// The body of a new payment of 19.99 EUR.
pub(crate) fn order(token: &str) -> Value {
    json!({
        "order_id": Uuid::now_v7(), "buyer_id": Uuid::now_v7(),
        "amount": eur(1999), "token": token,
    })
}

pub(crate) fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

pub(crate) fn id(payment: &Value) -> Uuid {
    payment["id"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("a UUID")
}
