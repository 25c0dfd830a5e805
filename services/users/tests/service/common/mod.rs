//! A running users service and what a client does with it.

pub(crate) mod process;

use chassis::testing::{self, Backends, TestService};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use shop_users::Users;

pub(crate) const ADMIN_EMAIL: &str = "admin@shop.example";
pub(crate) const ADMIN_PASSWORD: &str = "the admin's first password";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn settings() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "SIGNING_SEED",
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        ),
        ("ADMIN_EMAIL", ADMIN_EMAIL),
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
    ]
}

/// The service on back ends of its own.
pub(crate) struct Shop {
    pub(crate) backends: Backends,
    pub(crate) users: TestService,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let backends = Backends::new().await;
        let users = testing::start::<Users>(&backends, &settings()).await;
        Self { backends, users }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        send(&self.users, method, path, body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn register(&self, email: &str) -> Response {
        self.post("/users", &account(email)).await
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Response {
        log_in(&self.users, email, password).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Response {
        self.post("/sessions/refresh", &json!({"refresh_token": token}))
            .await
    }

    /// Makes all exchanges so far be this much longer ago.
    pub(crate) async fn age_used_tokens(&self, interval: &str) {
        let aged = format!(
            "update refresh_tokens set used_at = used_at - interval '{interval}' where used_at is not null returning 1"
        );
        let db = self.backends.direct_db();
        assert!(!testing::look(&db, &aged, &[]).await.is_empty());
    }

    pub(crate) async fn log_out(&self, token: &str) -> Response {
        self.send(
            Method::DELETE,
            "/sessions",
            &json!({"refresh_token": token}),
        )
        .await
    }

    pub(crate) async fn log_out_everywhere(&self, token: &str) -> Response {
        let body = json!({"refresh_token": token, "everywhere": true});
        self.send(Method::DELETE, "/sessions", &body).await
    }

    pub(crate) async fn me(&self, token: &str) -> Response {
        let request = self.users.http.get(self.users.at("/me")).bearer_auth(token);
        request.send().await.unwrap()
    }

    /// A registered buyer's first tokens.
    pub(crate) async fn tokens_of(&self, email: &str) -> Tokens {
        assert_eq!(self.register(email).await.status(), StatusCode::CREATED);
        Tokens::of(self.log_in(email, PASSWORD).await).await
    }
}

pub(crate) async fn send(
    users: &TestService,
    method: Method,
    path: &str,
    body: &Value,
) -> Response {
    let request = users.http.request(method, users.at(path)).json(body);
    request.send().await.unwrap()
}

pub(crate) async fn log_in(users: &TestService, email: &str, password: &str) -> Response {
    let body = json!({"email": email, "password": password});
    send(users, Method::POST, "/sessions", &body).await
}

pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    /// The tokens of a 201.
    pub(crate) async fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 900);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

pub(crate) fn account(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "name": "Ada Lovelace"})
}

/// Checks that `response` is a problem with this status and code, and returns it.
pub(crate) async fn problem(response: Response, status: u16, code: &str) -> Value {
    let got = response.status().as_u16();
    let content = response.headers().get("content-type").cloned();
    let retry_after = response.headers().contains_key("retry-after");
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(content.unwrap(), "application/problem+json");
    assert_eq!(
        retry_after,
        matches!(status, 429 | 503),
        "Retry-After with {status}"
    );
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["code"], code, "{text}");
    body
}

/// The value of a metric's line, 0 while there is none.
pub(crate) async fn metric(users: &TestService, line: &str) -> f64 {
    let metrics = users.metrics().await;
    metrics
        .lines()
        .find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
        .unwrap_or(0.0)
}
