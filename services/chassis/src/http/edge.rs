//! What every request passes through, outermost first: observation, the connection's end, panic guard, load limit, deadline,
//! schema, body limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::connection::end_politely;
use super::observe::{HttpMetrics, observe};
use super::problem::{Problem, SomethingMissing};
use crate::db::Schema;
use crate::deadline;

/// Bodies are small here; a route that takes more says so itself with its own `DefaultBodyLimit`.
const BODY_LIMIT: usize = 256 * 1024;
/// Requests worked on at once; the next one is answered 503 rather than queued.
const CONCURRENCY: usize = 512;
/// The longest a request may take, and what it gets when the caller names no deadline.
const LONGEST: Duration = Duration::from_secs(30);

/// Wraps the routes of a service. From `leaving` on, each answer asks its client to take another connection.
pub(crate) fn layer(
    routes: Router,
    metrics: Arc<HttpMetrics>,
    schema: Schema,
    leaving: CancellationToken,
) -> Router {
    let load = Arc::new(Semaphore::new(CONCURRENCY));
    routes
        .fallback(async || Problem::not_found("There is nothing at this path."))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This resource does not take this method.",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(schema, tell_behind))
        .layer(from_fn(keep_deadline))
        .layer(from_fn_with_state(load, limit_load))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal("a handler panicked").into_response()
        }))
        .layer(from_fn_with_state(leaving, end_politely))
        .layer(from_fn_with_state(metrics, observe))
}

/// Sets the task's deadline from the caller's and answers 504 when it passes. The handler is dropped then: what it had in
/// a transaction is rolled back.
async fn keep_deadline(request: Request, next: Next) -> Response {
    let asked = request
        .headers()
        .get(deadline::HEADER)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok())
        .map(Duration::from_millis);
    let until = Instant::now() + asked.unwrap_or(LONGEST).min(LONGEST);
    match tokio::time::timeout_at(until.into(), deadline::within(until, next.run(request))).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "deadline",
            "The answer was not ready within the time the caller gave.",
        )
        .retry_after(1)
        .into_response(),
    }
}

/// Tells a schema that is behind from a mistake of ours, where a statement named what is missing.
async fn tell_behind(State(schema): State<Schema>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(SomethingMissing(cause)) = response.extensions_mut().remove() else {
        return response;
    };
    match schema.is_to_blame().await {
        Some(behind) => Problem::schema_behind(&behind).into_response(),
        None => Problem::internal(cause).into_response(),
    }
}

async fn limit_load(State(load): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match load.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Problem::overloaded("This replica has as many requests at work as it takes.")
            .into_response(),
    }
}
