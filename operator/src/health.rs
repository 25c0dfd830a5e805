//! `/livez`, `/readyz`, `/metrics` on the administration port.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{
    Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get,
};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Takes the port.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}"))
}

/// Serves for ever. The operator is ready as soon as this answers: a replica that waits for the lease, or for the API server, is
/// ready to take over.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, metrics: Metrics) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/metrics", get(render))
        .with_state(metrics);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn render(State(metrics): State<Metrics>) -> impl IntoResponse {
    (
        [(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        metrics.render(),
    )
}
