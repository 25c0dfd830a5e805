//! A whole shop in the test's process.

use chassis::testing::{self, Backends, Proxy, TestService, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use shop_email::Email;
use shop_orders::Orders;
use shop_payments::Payments;
use shop_search::Search;
use shop_storefront::Storefront;
use shop_users::Users;
use url::Url;

use crate::browser::{Browser, Page};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const ADMIN: &str = "admin@shop.example";

const PAYMENTS_TOKEN: &str = "between services";

pub(crate) struct Shop {
    storefront: TestService,
    pub(crate) search: TestService,
    orders: TestService,
    admin: String,
    /// In front of the neighbours of the storefront.
    pub(crate) users_proxy: Proxy,
    pub(crate) search_proxy: Proxy,
    pub(crate) orders_proxy: Proxy,
    pub(crate) email_proxy: Proxy,
    /// In front of payments, whom orders asks.
    pub(crate) payments_proxy: Proxy,
    payments: TestService,
    _others: [TestService; 2],
    _backends: Vec<Backends>,
    _index: tempfile::TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let mut backends = Vec::new();
        for _ in 0..5 {
            backends.push(Backends::new().await);
        }
        let events = backends[0].nats_url().to_owned();
        let events = ("NATS_URL", events.as_str());
        let seed = "5".repeat(64);
        let users_settings = [
            ("SIGNING_SEED", seed.as_str()),
            ("ADMIN_EMAIL", ADMIN),
            ("ADMIN_PASSWORD", PASSWORD),
            // The storefront says for whom it asks.
            ("PROXY_TOKEN", "of users"),
            events,
        ];
        let users = testing::start::<Users>(&backends[0], &users_settings).await;
        let users_url = ("USERS_URL", users.url.as_str());
        let index = tempfile::tempdir().unwrap();
        let index_dir = ("INDEX_DIR", index.path().to_str().unwrap());
        let search = testing::start::<Search>(&backends[1], &[users_url, index_dir, events]).await;
        let token = ("API_TOKEN", PAYMENTS_TOKEN);
        let payments = testing::start::<Payments>(&backends[2], &[token, events]).await;
        let payments_proxy = in_front_of(&payments).await;
        let payments_at = address(&payments_proxy);
        let payments_url = ("PAYMENTS_URL", payments_at.as_str());
        let payments_token = ("PAYMENTS_TOKEN", token.1);
        let proxy_token = ("PROXY_TOKEN", "of orders");
        let settings = [users_url, payments_url, payments_token, proxy_token, events];
        let orders = testing::start::<Orders>(&backends[3], &settings).await;

        let email = testing::start::<Email>(&backends[4], &[users_url, events]).await;

        let users_proxy = in_front_of(&users).await;
        let search_proxy = in_front_of(&search).await;
        let orders_proxy = in_front_of(&orders).await;
        let email_proxy = in_front_of(&email).await;
        let proxies = [&users_proxy, &search_proxy, &orders_proxy, &email_proxy];
        let [users_at, search_at, orders_at, email_at] = proxies.map(address);
        let storefront = testing::start_stateless::<Storefront>(&[
            ("USERS_URL", &users_at),
            ("SEARCH_URL", &search_at),
            ("ORDERS_URL", &orders_at),
            ("EMAIL_URL", &email_at),
            ("USERS_TOKEN", "of users"),
            ("ORDERS_TOKEN", "of orders"),
        ])
        .await;
        let admin = log_in(&users, ADMIN).await;
        Self {
            storefront,
            search,
            orders,
            admin,
            users_proxy,
            search_proxy,
            orders_proxy,
            email_proxy,
            payments_proxy,
            payments,
            _others: [users, email],
            _backends: backends,
            _index: index,
        }
    }

    /// One that sells so many mugs (`MUG-1`, for 19.99), and somebody who has registered.
    pub(crate) async fn with_a_buyer(units: u32) -> (Self, Browser) {
        let shop = Self::open().await;
        shop.sells_mugs("MUG-1", 1999, units).await;
        let browser = shop.buyer("ada").await;
        (shop, browser)
    }

    pub(crate) fn url(&self) -> &Url {
        &self.storefront.url
    }

    pub(crate) async fn metrics(&self) -> String {
        self.storefront.metrics().await
    }

    /// What payments has given back of the order at this path, in minor units: it counts before anybody hears of it.
    pub(crate) async fn given_back(&self, order: &str) -> i64 {
        let id = order.trim_start_matches("/orders/");
        let path = format!("/payments?order_id={id}");
        let request = self.payments.http.get(self.payments.at(&path));
        let answer = request.bearer_auth(PAYMENTS_TOKEN).send().await.unwrap();
        let payments: Value = answer.json().await.unwrap();
        payments["items"][0]["refunded"]["amount"]
            .as_i64()
            .expect("a payment")
    }

    /// As another program asks.
    pub(crate) async fn plain(&self, path: &str) -> reqwest::Response {
        let request = self.storefront.http.get(self.storefront.at(path));
        request.send().await.expect("an answer")
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.url())
    }

    /// Puts a product into the catalogue, and units of it on the shelf, and waits until both can be bought.
    pub(crate) async fn sells(&self, sku: &str, product: Value, units: u32) {
        self.put(&self.search, &format!("products/{sku}"), &product)
            .await;
        self.put(
            &self.orders,
            &format!("stock/{sku}"),
            &json!({ "on_hand": units }),
        )
        .await;
        self.offers(sku).await;
        // A search learns of it a moment later.
        self.shows(&format!("/?q={sku}"), &format!("/products/{sku}"))
            .await;
    }

    /// Waits until a page shows what is to be seen of the catalogue: a search learns of it a moment after it was written.
    pub(crate) async fn shows(&self, path: &str, text: &str) -> Page {
        let browser = self.browser();
        eventually(&format!("{path} shows {text}"), || async {
            let page = browser.get(path).await;
            page.has(text).then_some(page)
        })
        .await
    }

    /// A plain product.
    pub(crate) async fn sells_mugs(&self, sku: &str, amount: i64, units: u32) {
        self.sells(sku, mug(amount), units).await;
    }

    pub(crate) async fn changes_price(&self, sku: &str, amount: i64) {
        self.put(&self.search, &format!("products/{sku}"), &mug(amount))
            .await;
    }

    async fn put(&self, service: &TestService, path: &str, body: &Value) {
        let request = service.http.request(Method::PUT, service.at(path));
        let answer = request
            .bearer_auth(&self.admin)
            .json(body)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert!(
            status.is_success(),
            "{path}: {status} {}",
            answer.text().await.unwrap()
        );
    }

    /// Waits until orders has heard of a product.
    async fn offers(&self, sku: &str) {
        let body = json!({ "quantity": 1 });
        eventually("orders has heard of it", || async {
            let path = format!("cart/items/{sku}");
            let request = self.orders.http.request(Method::PUT, self.orders.at(&path));
            let answer = request
                .bearer_auth(&self.admin)
                .json(&body)
                .send()
                .await
                .ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Somebody who has just registered.
    pub(crate) async fn buyer(&self, name: &str) -> Browser {
        let browser = self.browser();
        self.register(&browser, name)
            .await
            .says("Your account is there");
        browser
    }

    pub(crate) async fn register(&self, browser: &Browser, name: &str) -> Page {
        let form = browser.get("/register").await;
        let fields = [
            ("key", form.field("key")),
            ("email", format!("{name}@shop.example")),
            ("password", PASSWORD.to_owned()),
            ("name", "Ada Lovelace".to_owned()),
            ("next", "/".to_owned()),
        ];
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        browser.post("/register", &fields).await
    }
}

/// An address where nobody answers.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1";

/// A storefront without those that it asks, but for the search at this address.
pub(crate) async fn alone(search: &str) -> TestService {
    testing::start_stateless::<Storefront>(&[
        ("USERS_URL", NOBODY),
        ("SEARCH_URL", search),
        ("ORDERS_URL", NOBODY),
        ("EMAIL_URL", NOBODY),
        ("USERS_TOKEN", "of users"),
        ("ORDERS_TOKEN", "of orders"),
    ])
    .await
}

/// Puts so many of a product into the cart and goes to the checkout.
pub(crate) async fn check_out(browser: &Browser, sku: &str, quantity: u32) -> Page {
    let quantity = quantity.to_string();
    let fields = [("sku", sku), ("quantity", quantity.as_str())];
    browser.post("/cart", &fields).await;
    browser.get("/checkout").await
}

/// Of a checkout, as the page holds it.
pub(crate) async fn pay(browser: &Browser, checkout: &Page, card: &str) -> Page {
    let fields = ["key", "cart_version", "amount", "currency"];
    let values = fields.map(|name| (name, checkout.field(name)));
    let mut fields: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    fields.push(("card", card));
    browser.post("/checkout", &fields).await
}

pub(crate) fn mug(amount: i64) -> Value {
    json!({
        "title": "Blue Mug",
        "description": "Holds coffee.",
        "brand": "Nordlys",
        "category": "Kitchen",
        "price": { "amount": amount, "currency": "EUR" },
        "attributes": { "colour": "blue" },
    })
}

async fn in_front_of(service: &TestService) -> Proxy {
    let port = service.url.port().unwrap();
    Proxy::start(&format!("127.0.0.1:{port}")).await
}

fn address(proxy: &Proxy) -> String {
    format!("http://127.0.0.1:{}", proxy.port())
}

async fn log_in(users: &TestService, email: &str) -> String {
    let credentials = json!({ "email": email, "password": PASSWORD });
    let answer = users
        .http
        .post(users.at("/sessions"))
        .json(&credentials)
        .send()
        .await
        .unwrap();
    let tokens: Value = answer.json().await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}
