//! What every request passes through, outermost first: observation, connection age, panic guard, load limit, deadline,
//! body limit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use super::observe::{HttpMetrics, observe};
use super::problem::Problem;
use crate::deadline;

/// Bodies are small here; a route that takes more says so itself with its own `DefaultBodyLimit`.
const BODY_LIMIT: usize = 256 * 1024;
/// Requests worked on at once; the next one is answered 503 rather than queued.
const CONCURRENCY: usize = 512;
/// The longest a request may take, and what it gets when the caller names no deadline.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection is ended after this age, plus or minus a fifth, so that new replicas behind a plain Service get their
/// share of connections that would otherwise stay where they are for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(60);

/// Wraps the routes of a service.
pub(crate) fn layer(routes: Router, metrics: Arc<HttpMetrics>) -> Router {
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
        .layer(from_fn(keep_deadline))
        .layer(from_fn_with_state(load, limit_load))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal("a handler panicked").into_response()
        }))
        .layer(from_fn(end_old_connections))
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

async fn limit_load(State(load): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match load.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Problem::overloaded("This replica has as many requests at work as it takes.")
            .into_response(),
    }
}

/// When and from where a connection was accepted.
#[derive(Clone, Copy)]
pub(crate) struct Born {
    at: Instant,
    /// Each connection lives a little longer or shorter than the next, so that they do not all end together.
    age: Duration,
    from: SocketAddr,
}

impl Connected<IncomingStream<'_, TcpListener>> for Born {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        // A lost write of one small answer to Nagle's delay costs 40 ms; failing to set it costs nothing else.
        let _ = stream.io().set_nodelay(true);
        Self {
            at: Instant::now(),
            age: CONNECTION_AGE.mul_f64(rand::random_range(0.8..1.2)),
            from: *stream.remote_addr(),
        }
    }
}

async fn end_old_connections(mut request: Request, next: Next) -> Response {
    let born = request
        .extensions()
        .get::<ConnectInfo<Born>>()
        .map(|ConnectInfo(b)| *b);
    if let Some(born) = born {
        request.extensions_mut().insert(ConnectInfo(born.from));
    }
    let mut response = next.run(request).await;
    if born.is_some_and(|b| b.at.elapsed() > b.age) {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
