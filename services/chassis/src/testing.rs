//! What the tests of a service stand on: a real PostgreSQL and a real NATS, a proxy that can cut them off, tokens.

mod backends;
mod growth;
mod metrics_page;
mod proxy;
mod tokens;

pub use backends::{Backends, TestEvent};
pub use growth::Growth;
pub use metrics_page::is_as_documented;
pub use proxy::Proxy;
pub use tokens::{jwks_server, token};

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::de::DeserializeOwned;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;
use tracing_subscriber::layer::SubscriberExt;
use url::Url;

use crate::db::{self, Db};
use crate::server::{self, Running};
use crate::service::{Service, Stateless};
use crate::settings::Env;

/// Gives requests a trace each, as in a process of the service, from now on and in all tests of this file: with a subscriber
/// of one thread, spans that other threads open first stay without.
pub fn traces() {
    let tracer = SdkTracerProvider::default().tracer("test");
    let spans = tracing_opentelemetry::layer().with_tracer(tracer);
    let subscriber = tracing_subscriber::registry().with(spans);
    // Another test may have set it.
    tracing::subscriber::set_global_default(subscriber).ok();
}

/// A service that runs in the test's process, on ports of its own.
pub struct TestService {
    pub url: Url,
    pub admin_url: Url,
    /// `grpc://host:port`, where it serves gRPC.
    pub grpc_url: Option<Url>,
    pub http: reqwest::Client,
    running: Option<Running>,
}

/// Migrates and starts `S` on `backends`; `settings` are added to and win over the usual ones. Returns when it is ready.
pub async fn start<S: Service>(backends: &Backends, settings: &[(&str, &str)]) -> TestService {
    let service = start_unready::<S>(backends, settings).await;
    service.ready().await;
    service
}

/// Like [`start`], without waiting for readiness.
pub async fn start_unready<S: Service>(
    backends: &Backends,
    settings: &[(&str, &str)],
) -> TestService {
    migrate::<S>(backends).await;
    start_unmigrated::<S>(backends, settings).await
}

/// Brings the schema of the test's database up to date.
pub async fn migrate<S: Service>(backends: &Backends) {
    db::migrate::<S>(&backends.direct_db())
        .await
        .expect("the migration of the test's database");
}

/// Starts `S` on a database as it is, without waiting for readiness.
pub async fn start_unmigrated<S: Service>(
    backends: &Backends,
    settings: &[(&str, &str)],
) -> TestService {
    crate::process::install_crypto();
    let usual = [
        ("DATABASE_URL", backends.database_url()),
        ("NATS_URL", backends.nats_url()),
        // The broker sets aside what a stream may hold, and there are many here.
        ("EVENTS_MAX_BYTES", "16777216"),
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("GRPC_ADDR", "127.0.0.1:0"),
    ];
    let env = Env::of(usual.into_iter().chain(settings.iter().copied()));
    let running = server::start::<S>(&env).await.expect("the service starts");
    TestService::of(running)
}

/// Starts `S`, which keeps nothing, and returns when it is ready.
pub async fn start_stateless<S: Stateless>(settings: &[(&str, &str)]) -> TestService {
    crate::process::install_crypto();
    let usual = [("HTTP_ADDR", "127.0.0.1:0"), ("ADMIN_ADDR", "127.0.0.1:0")];
    let env = Env::of(usual.into_iter().chain(settings.iter().copied()));
    let running = server::start_stateless::<S>(&env).await;
    let service = TestService::of(running.expect("the service starts"));
    service.ready().await;
    service
}

impl TestService {
    fn of(running: Running) -> Self {
        let url = |scheme: &str, address: SocketAddr| -> Url {
            format!("{scheme}://{address}")
                .parse()
                .expect("an address is a URL")
        };
        Self {
            url: url("http", running.api),
            admin_url: url("http", running.admin),
            grpc_url: running.grpc.map(|address| url("grpc", address)),
            http: reqwest::Client::new(),
            running: Some(running),
        }
    }

    /// The full URL of a path of the public API.
    pub fn at(&self, path: &str) -> Url {
        self.url.join(path).expect("a path")
    }

    /// The full URL of a path of the administration port.
    pub fn admin_at(&self, path: &str) -> Url {
        self.admin_url.join(path).expect("a path")
    }

    /// A connection to its gRPC port.
    pub async fn channel(&self) -> Channel {
        let url = self.grpc_url.as_ref().expect("a service with gRPC");
        let address = url.as_str().replacen("grpc", "http", 1);
        let endpoint = Endpoint::from_shared(address).expect("an address");
        endpoint.connect().await.expect("a connection")
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) {
        eventually("the service is ready", || async {
            let answer = self.http.get(self.admin_at("/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let answer = self.http.get(self.admin_at("/metrics")).send().await;
        answer.expect("metrics").text().await.expect("a text")
    }

    /// How often it has tried to apply an event on `subject`, whatever became of it.
    pub async fn processed(&self, subject: &str) -> usize {
        let label = format!("events_processed_total{{subject=\"{subject}\"");
        let metrics = self.metrics().await;
        let counts = metrics.lines().filter(|line| line.starts_with(&label));
        counts
            .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
            .sum()
    }

    /// Waits until it has tried `count` times to apply an event on `subject`.
    pub async fn until_processed(&self, subject: &str, count: usize) {
        eventually(
            &format!("{count} events {subject} are processed"),
            || async { (self.processed(subject).await >= count).then_some(()) },
        )
        .await;
    }

    /// Waits until the schema of its database is behind for good, and returns the sentence about it.
    pub async fn outdated(&mut self) -> String {
        let running = self.running.as_mut().expect("a running service");
        let patience = tokio::time::timeout(PATIENCE, running.outdated());
        let behind = patience.await.expect("the schema is found behind");
        behind.to_string()
    }

    /// Lets clients move on, as SIGTERM does first.
    pub async fn leave(&self) {
        if let Some(running) = &self.running {
            running.leave().await;
        }
    }

    /// Stops as SIGTERM does then.
    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

/// The code of a refused call, and the stable code of the problem that it stands for.
pub fn refused_as(status: &tonic::Status) -> (tonic::Code, String) {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    (status.code(), info.reason.clone())
}

/// The data of the examples that the owner of `event` (`order.placed`) has checked in, as a consumer reads it.
pub fn examples<T: DeserializeOwned>(event: &str) -> Vec<T> {
    let envelopes: Vec<serde_json::Value> = checked_in(&format!("events/{event}.v1.examples.json"));
    assert!(!envelopes.is_empty(), "{event} has no example");
    let data = envelopes.into_iter().map(|mut e| e["data"].take());
    data.map(|data| serde_json::from_value(data).expect("data that the consumer understands"))
        .collect()
}

/// The OpenAPI document that the owner of `service` has checked in.
pub fn contract(service: &str) -> serde_json::Value {
    checked_in(&format!("openapi/{service}.json"))
}

fn checked_in<T: DeserializeOwned>(file: &str) -> T {
    let path = format!("{}/../../contracts/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).expect("JSON")
}

/// How long a condition is waited for. Longer than anything here takes beside a load on all cores: it costs time only
/// where a test fails.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks until `probe` gives a value, for at most three minutes; `what` names it in the failure.
pub async fn eventually<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(
            Instant::now() < until,
            "waited three minutes in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A direct look into the service's database.
pub async fn look(db: &Db, sql: &str, params: &[&(dyn db::ToSql + Sync)]) -> Vec<db::Row> {
    // A test has more time than work that nobody waits for.
    let until = Instant::now() + PATIENCE;
    crate::deadline::within(until, async {
        let connection = db.get().await.expect("a connection");
        let rows = db::query(&connection, sql, params).await;
        rows.expect("the query")
    })
    .await
}
