//! The administration port: health and metrics. Never exposed outside the cluster.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::db::Db;
use crate::health::Health;
use crate::metrics::CONTENT_TYPE;

/// `db`: whose connections are counted, where there is one.
pub(super) fn routes(health: Health, registry: Registry, db: Option<Db>) -> Router {
    let shared = Arc::new((registry, db));
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(async move || ready(&health)))
        .route(
            "/metrics",
            get(async move || metrics(&shared.0, shared.1.as_ref())),
        )
}

fn ready(health: &Health) -> impl IntoResponse + use<> {
    match health.is_ready() {
        Ok(()) => (StatusCode::OK, "ready".to_owned()),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing),
    }
}

fn metrics(registry: &Registry, db: Option<&Db>) -> impl IntoResponse + use<> {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, registry);
    let mut pool = Registry::default();
    if let Some(db) = db {
        pool.register_collector(Box::new(Pool { usage: db.usage() }));
    }
    let mut pool_text = String::new();
    let _ = prometheus_client::encoding::text::encode(&mut pool_text, &pool);
    let text = text.trim_end_matches("# EOF\n").to_owned() + &pool_text;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
}

/// The pool's connections at the moment of the scrape.
#[derive(Debug)]
struct Pool {
    usage: (usize, usize),
}

impl Collector for Pool {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in [
            ("db_connections_used", "Connections in use", self.usage.0),
            ("db_connections", "Connections in the pool", self.usage.1),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
