//! `/livez`, `/readyz`, `/metrics` on the administration port.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::{claims::Obstacles, metrics::Metrics};

/// Takes the port.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}"))
}

/// Serves for ever. The operator is ready as soon as this answers: a replica that waits for the Lease, or for the API server, is
/// ready to take over. One that leads is not while another install keeps it out of a namespace.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    obstacles: Obstacles,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(obstacles))
        .route("/metrics", get(render).with_state(metrics));
    axum::serve(listener, router).await?;
    Ok(())
}

async fn ready(State(obstacles): State<Obstacles>) -> impl IntoResponse {
    let sentences = obstacles.sentences();
    match sentences.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, sentences.join("\n") + "\n"),
    }
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
