//! The service over HTTP and NATS, against a real PostgreSQL and a real broker.

mod catalogue;
mod events;
mod freshness;
mod grpc;
mod import;
mod load;
mod million;
mod outage;
mod refusals;

use chassis::testing::{
    Backends, TestService, eventually, is_as_documented, jwks_server, start, token,
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use shop_search::Search;
use tempfile::TempDir;
use uuid::Uuid;

/// A replica of the service with an administrator's token.
struct Replica {
    service: TestService,
    token: String,
    index_dir: TempDir,
}

impl Replica {
    async fn start(backends: &Backends) -> Self {
        Self::start_in(backends, tempfile::tempdir().unwrap()).await
    }

    async fn start_in(backends: &Backends, index_dir: TempDir) -> Self {
        Self::start_with(backends, index_dir, &[]).await
    }

    /// With these settings beside the usual ones.
    async fn start_with(
        backends: &Backends,
        index_dir: TempDir,
        settings: &[(&str, &str)],
    ) -> Self {
        let users = jwks_server().await;
        let folder = index_dir.path().to_str().unwrap();
        let usual = [("USERS_URL", users.as_str()), ("INDEX_DIR", folder)];
        let service = start::<Search>(backends, &[&usual, settings].concat()).await;
        Self {
            service,
            token: token(Uuid::now_v7(), &["admin"]),
            index_dir,
        }
    }

    async fn stop(self) -> TempDir {
        self.service.stop().await;
        self.index_dir
    }

    fn put(&self, sku: &str, body: &Value) -> RequestBuilder {
        let url = self.service.at(&format!("/products/{sku}"));
        self.service
            .http
            .put(url)
            .bearer_auth(&self.token)
            .json(body)
    }

    /// Puts a product that must be taken.
    async fn keep(&self, sku: &str, body: &Value) {
        let answer = self.put(sku, body).send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }

    fn delete(&self, sku: &str) -> RequestBuilder {
        let url = self.service.at(&format!("/products/{sku}"));
        self.service.http.delete(url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.service
            .http
            .get(self.service.at(path))
            .send()
            .await
            .unwrap()
    }

    async fn import(&self, lines: String) -> Response {
        let url = self.service.at("/products/import");
        self.service
            .http
            .post(url)
            .bearer_auth(&self.token)
            .header("content-type", "application/x-ndjson")
            .body(lines)
            .send()
            .await
            .unwrap()
    }

    /// The page that a search finds.
    async fn search(&self, query: &str) -> Value {
        let answer = self.get(&format!("/products?{query}")).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    async fn skus(&self, query: &str) -> Vec<String> {
        let page = self.search(query).await;
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["sku"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until a search finds exactly these.
    async fn finds(&self, query: &str, skus: &[&str]) {
        let what = format!("{query} finds {skus:?}");
        eventually(&what, || async {
            (self.skus(query).await == skus).then_some(())
        })
        .await;
    }

    /// The value of one metric.
    async fn metric(&self, name: &str) -> f64 {
        let metrics = self.service.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let value = line
            .unwrap_or_else(|| panic!("no {name} in {metrics}"))
            .rsplit(' ')
            .next();
        value.unwrap().parse().unwrap()
    }
}

fn lamp() -> Value {
    json!({
        "title": "Oak Desk Lamp", "description": "A warm light for late work.", "brand": "Nordlys", "category": "Lighting",
        "price": {"amount": 4990, "currency": "EUR"}, "attributes": {"wood": "oak"},
    })
}

fn titled(title: &str) -> Value {
    let mut product = lamp();
    product["title"] = title.into();
    product
}

async fn problem(answer: Response, status: u16, code: &str) -> Value {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    problem
}

fn etag(answer: &Response) -> &str {
    answer.headers()["etag"].to_str().unwrap()
}
