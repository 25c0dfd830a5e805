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

use crate::{metrics::Metrics, run::claims::Obstacles};

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
    axum::serve(listener, router(metrics, obstacles)).await?;
    Ok(())
}

fn router(metrics: Metrics, obstacles: Obstacles) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(obstacles))
        .route("/metrics", get(render).with_state(metrics))
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str, obstacles: &Obstacles) -> (StatusCode, String) {
        let router = router(Metrics::default(), obstacles.clone());
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 10_000).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn an_operator_that_is_kept_out_of_a_namespace_lives_and_is_not_ready() {
        let obstacles = Obstacles::default();
        assert_eq!(get("/readyz", &obstacles).await.0, StatusCode::OK);
        obstacles.set("a", Some("taken".into()), Instant::now());
        assert_eq!(
            get("/readyz", &obstacles).await,
            (StatusCode::SERVICE_UNAVAILABLE, "taken\n".into())
        );
        assert_eq!(get("/livez", &obstacles).await.0, StatusCode::OK);
    }
}
