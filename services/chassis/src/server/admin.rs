//! The administration port: health, metrics, events that were not applied. Never exposed outside the cluster.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::db::{Db, Schema};
use crate::events::admin as events;
use crate::events::processor::Processor;
use crate::health::Readiness;

pub(super) fn routes(
    readiness: Readiness,
    schema: Schema,
    registry: Arc<Registry>,
    db: Db,
    processor: Arc<Processor>,
) -> Router {
    let connections = Arc::new(db);
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(async move || ready(&readiness, &schema)))
        .route(
            "/metrics",
            get(async move || metrics(&registry, &connections)),
        )
        .merge(events::routes(processor))
}

fn ready(readiness: &Readiness, schema: &Schema) -> impl IntoResponse + use<> {
    match (readiness.is_ready(), schema.trouble()) {
        (Ok(()), None) => (StatusCode::OK, "ready".to_owned()),
        // It was current before, so its condition stays met.
        (Ok(()), Some(trouble)) => (StatusCode::SERVICE_UNAVAILABLE, trouble.to_string()),
        (Err(missing), _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for: {}", missing.join(", ")),
        ),
    }
}

fn metrics(registry: &Registry, db: &Db) -> impl IntoResponse + use<> {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, registry);
    let mut pool = Registry::default();
    pool.register_collector(Box::new(Pool { usage: db.usage() }));
    let mut pool_text = String::new();
    let _ = prometheus_client::encoding::text::encode(&mut pool_text, &pool);
    let text = text.trim_end_matches("# EOF\n").to_owned() + &pool_text;
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
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
