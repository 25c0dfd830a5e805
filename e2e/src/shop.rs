//! The shop over its public HTTP APIs.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::HeaderMap;
use reqwest::{ClientBuilder, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::wait::until;

pub const ADMIN_EMAIL: &str = "admin@shop.example";

/// Where the shop can be reached: the exposed services on ports of this machine.
#[derive(Clone)]
pub struct Shop {
    http: reqwest::Client,
    /// An address of this machine, or of a node.
    host: String,
    /// The first two digits of the ports: on this machine 30 for the cluster of `make up`, 31 for that of the tests.
    ports: u16,
}

/// The exposed services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Storefront = 80,
    Users = 81,
    Search = 82,
    Orders = 83,
    Email = 84,
}

/// An account that is logged in.
#[derive(Clone)]
pub struct Account {
    pub id: Uuid,
    pub email: String,
    pub access_token: String,
}

/// An answer that was an error: its status and problem document.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}: {detail}")]
pub struct Refused {
    pub status: StatusCode,
    pub code: String,
    pub detail: String,
}

impl Shop {
    pub fn new(ports: u16) -> Result<Self> {
        Self::on("127.0.0.1", ports)
    }

    /// A shop whose ports are on another host.
    pub fn on(host: &str, ports: u16) -> Result<Self> {
        crate::install_crypto();
        let http = client().build()?;
        let host = host.to_owned();
        Ok(Self { http, host, ports })
    }

    /// The same shop, asked within the trace of this `traceparent`.
    pub fn within(&self, traceparent: &str) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", traceparent.parse()?);
        Ok(Self {
            http: client().default_headers(headers).build()?,
            ..self.clone()
        })
    }

    /// Waits until the port of each service takes connections. A node opens it some time after the first pod is ready: who asks before
    /// that is refused.
    pub async fn is_reached(&self, limit: Duration) -> Result<()> {
        for service in [
            Service::Users,
            Service::Search,
            Service::Orders,
            Service::Email,
        ] {
            let address = (self.host.as_str(), self.port(service));
            until(&format!("a way to {service:?}"), limit, || async {
                let connected = TcpStream::connect(address).await;
                connected.context("no connection").map(|_| Some(()))
            })
            .await?;
        }
        Ok(())
    }

    fn port(&self, service: Service) -> u16 {
        self.ports * 1000 + service as u16
    }

    pub fn request(&self, method: Method, service: Service, path: &str) -> RequestBuilder {
        let port = self.port(service);
        self.http
            .request(method, format!("http://{}:{port}{path}", self.host))
    }

    /// Registers a buyer under a fresh address and logs in.
    pub async fn register(&self, name: &str) -> Result<Account> {
        let email = format!(
            "{}-{}@buyers.example",
            name.to_lowercase(),
            &Uuid::now_v7().simple().to_string()[20..]
        );
        let password = Uuid::new_v4().to_string();
        let body = json!({ "email": email, "password": password, "name": name });
        send(
            self.request(Method::POST, Service::Users, "/users")
                .json(&body),
        )
        .await
        .context("registering")?;
        self.log_in(&email, &password).await
    }

    pub async fn log_in(&self, email: &str, password: &str) -> Result<Account> {
        let body = json!({ "email": email, "password": password });
        let session = send(
            self.request(Method::POST, Service::Users, "/sessions")
                .json(&body),
        )
        .await
        .context("logging in")?;
        let access_token = text(&session, "access_token")?;
        let me = send(
            self.request(Method::GET, Service::Users, "/me")
                .bearer_auth(&access_token),
        )
        .await?;
        Ok(Account {
            id: text(&me, "id")?.parse()?,
            email: email.to_owned(),
            access_token,
        })
    }

    /// `GET /products` with these parameters.
    pub async fn search(&self, parameters: &[(&str, &str)]) -> Result<Value> {
        send(
            self.request(Method::GET, Service::Search, "/products")
                .query(parameters),
        )
        .await
    }

    pub async fn put_in_cart(&self, buyer: &Account, sku: &str, quantity: u32) -> Result<Value> {
        let path = format!("/cart/items/{sku}");
        send(
            self.request(Method::PUT, Service::Orders, &path)
                .bearer_auth(&buyer.access_token)
                .json(&json!({ "quantity": quantity })),
        )
        .await
    }

    /// What a buyer sends who has just looked at the cart: its version, its total, and what to pay with.
    pub async fn checkout(&self, buyer: &Account, payment_token: &str) -> Result<Value> {
        let cart = send(
            self.request(Method::GET, Service::Orders, "/cart")
                .bearer_auth(&buyer.access_token),
        )
        .await?;
        Ok(json!({
            "cart_version": cart["version"],
            "expected_total": cart["total"],
            "payment_token": payment_token,
        }))
    }

    /// Looks at the cart, then `POST /orders`: the order as it was taken.
    pub async fn place_order(
        &self,
        buyer: &Account,
        key: &str,
        payment_token: &str,
    ) -> Result<Value> {
        let checkout = self.checkout(buyer, payment_token).await?;
        self.send_order(buyer, key, &checkout).await
    }

    /// `POST /orders` with a body from [`Self::checkout`]; sent again with the same key it is the same order.
    pub async fn send_order(&self, buyer: &Account, key: &str, checkout: &Value) -> Result<Value> {
        send(
            self.request(Method::POST, Service::Orders, "/orders")
                .bearer_auth(&buyer.access_token)
                .header("idempotency-key", key)
                .json(checkout),
        )
        .await
    }

    pub async fn order(&self, buyer: &Account, id: &str) -> Result<Value> {
        let path = format!("/orders/{id}");
        send(
            self.request(Method::GET, Service::Orders, &path)
                .bearer_auth(&buyer.access_token),
        )
        .await
    }

    /// From the cart to the order's end: paid or cancelled.
    pub async fn buy(
        &self,
        buyer: &Account,
        sku: &str,
        quantity: u32,
        payment_token: &str,
    ) -> Result<Value> {
        self.fill_cart(buyer, sku, quantity).await?;
        let key = uuid::Uuid::new_v4().to_string();
        let order = self.place_order(buyer, &key, payment_token).await?;
        self.final_order(buyer, &text(&order, "id")?, Duration::from_secs(120))
            .await
    }

    /// Waits until the order is paid or cancelled.
    pub async fn final_order(&self, buyer: &Account, id: &str, limit: Duration) -> Result<Value> {
        until(
            &format!("order {id} is paid or cancelled"),
            limit,
            || async {
                let path = format!("/orders/{id}?wait=5");
                let order = send(
                    self.request(Method::GET, Service::Orders, &path)
                        .bearer_auth(&buyer.access_token),
                )
                .await?;
                let state = text(&order, "state")?;
                Ok(matches!(state.as_str(), "paid" | "cancelled").then_some(order))
            },
        )
        .await
    }

    pub async fn timeline(&self, buyer: &Account, id: &str) -> Result<Vec<Value>> {
        let path = format!("/orders/{id}/timeline");
        let timeline = send(
            self.request(Method::GET, Service::Orders, &path)
                .bearer_auth(&buyer.access_token),
        )
        .await?;
        Ok(timeline["entries"].as_array().cloned().unwrap_or_default())
    }

    /// The mails about an order or to a user, as the admin sees them.
    pub async fn mails(&self, admin: &Account, filter: (&str, &str)) -> Result<Vec<Value>> {
        let mails = send(
            self.request(Method::GET, Service::Email, "/mails")
                .query(&[filter])
                .bearer_auth(&admin.access_token),
        )
        .await?;
        Ok(mails["items"].as_array().cloned().unwrap_or_default())
    }

    pub async fn mail(&self, admin: &Account, id: &str) -> Result<Value> {
        let path = format!("/mails/{id}");
        send(
            self.request(Method::GET, Service::Email, &path)
                .bearer_auth(&admin.access_token),
        )
        .await
    }

    pub async fn put_product(&self, admin: &Account, sku: &str, product: &Value) -> Result<Value> {
        let path = format!("/products/{sku}");
        send(
            self.request(Method::PUT, Service::Search, &path)
                .bearer_auth(&admin.access_token)
                .json(product),
        )
        .await
    }

    pub async fn stock(&self, sku: &str) -> Result<Value> {
        send(self.request(Method::GET, Service::Orders, &format!("/stock/{sku}"))).await
    }

    pub async fn set_stock(&self, admin: &Account, sku: &str, on_hand: u32) -> Result<Value> {
        let path = format!("/stock/{sku}");
        send(
            self.request(Method::PUT, Service::Orders, &path)
                .bearer_auth(&admin.access_token)
                .json(&json!({ "on_hand": on_hand })),
        )
        .await
    }

    /// Imports JSON lines: products into search, stock into orders.
    pub async fn import(
        &self,
        admin: &Account,
        service: Service,
        path: &str,
        lines: &[Value],
    ) -> Result<Value> {
        let body: String = lines.iter().map(|l| l.to_string() + "\n").collect();
        send(
            self.request(Method::POST, service, path)
                .bearer_auth(&admin.access_token)
                .header("content-type", "application/x-ndjson")
                .body(body),
        )
        .await
    }

    /// A product of its own with this stock, known to orders.
    pub async fn product_for_sale(&self, admin: &Account, stock: u32) -> Result<String> {
        let sku = format!("T-{}", Uuid::now_v7().simple());
        let product = json!({
            "title": format!("Test article {sku}"), "description": "Made for a test.", "brand": "Morrow",
            "category": "Tests", "price": { "amount": 1990, "currency": "EUR" },
        });
        self.put_product(admin, &sku, &product).await?;
        self.set_stock(admin, &sku, stock).await?;
        Ok(sku)
    }

    /// Puts a product into the cart as soon as orders has heard of it.
    pub async fn fill_cart(&self, buyer: &Account, sku: &str, quantity: u32) -> Result<()> {
        until(
            &format!("orders knows {sku}"),
            Duration::from_secs(30),
            || async { self.put_in_cart(buyer, sku, quantity).await.map(Some) },
        )
        .await?;
        Ok(())
    }
}

fn client() -> ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(40))
}

/// Sends, and makes a [`Refused`] of an error answer.
pub async fn send(request: RequestBuilder) -> Result<Value> {
    let answer = request.send().await.context("no answer")?;
    let status = answer.status();
    let body = answer.bytes().await.context("half an answer")?;
    let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(value);
    }
    let member = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Err(Refused {
        status,
        code: member("code"),
        detail: member("detail"),
    }
    .into())
}

/// The code of the problem that an error is, if it is one.
pub fn code(error: &anyhow::Error) -> Option<&str> {
    error
        .chain()
        .find_map(|e| e.downcast_ref::<Refused>())
        .map(|r| r.code.as_str())
}

/// A member that must be a string.
pub fn text(value: &Value, name: &str) -> Result<String> {
    match value[name].as_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("no {name} in {value}"),
    }
}
