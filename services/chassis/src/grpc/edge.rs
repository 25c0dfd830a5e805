//! What every call passes through, outermost first: observation, panic guard, load limit, deadline, schema.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::service::Routes;
use tower_http::catch_panic::CatchPanicLayer;

use super::deadline::{self, Until};
use super::observe::{GrpcMetrics, observe};
use super::server::Peer;
use super::status::SOMETHING_MISSING;
use crate::db::Schema;
use crate::deadline::within;
use crate::http::{CONCURRENCY, LONGEST, Problem, TrustedProxies};

/// Wraps the API of a service.
pub(crate) fn layer(
    routes: Routes,
    proxies: TrustedProxies,
    metrics: Arc<GrpcMetrics>,
    schema: Schema,
) -> Routes {
    let load = Arc::new(Semaphore::new(CONCURRENCY));
    routes
        .into_axum_router()
        .layer(from_fn_with_state(schema, tell_behind))
        .layer(from_fn(keep_deadline))
        .layer(from_fn_with_state(load, limit_load))
        .layer(CatchPanicLayer::custom(|_| {
            refusal(Problem::internal("a handler panicked").into())
        }))
        .layer(from_fn_with_state(proxies, name_client))
        .layer(from_fn_with_state(metrics, observe))
        .into()
}

fn refusal(status: Status) -> Response {
    status.into_http()
}

/// Notes who the client is, for limits.
async fn name_client(
    State(proxies): State<TrustedProxies>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(Peer(peer)) = request.extensions().get() {
        let client = proxies.client(*peer, request.headers());
        request.extensions_mut().insert(client);
    }
    next.run(request).await
}

/// A call counts as at work until its answer begins: what is streamed has limits of its own.
async fn limit_load(State(load): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match load.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            let problem =
                Problem::overloaded("This replica has as many calls at work as it takes.");
            refusal(problem.into())
        }
    }
}

/// Sets the task's deadline from the caller's, and answers when it passes. The handler is dropped then: what it had in a
/// transaction is rolled back. A stream has the caller's deadline too, and without one its own end.
async fn keep_deadline(request: Request, next: Next) -> Response {
    let asked = deadline::asked(request.headers());
    let until = Instant::now() + asked.unwrap_or(LONGEST).min(LONGEST);
    let answer = tokio::time::timeout_at(until.into(), within(until, next.run(request))).await;
    match answer {
        Ok(response) if asked.is_some() => response.map(|body| Until::wrap(body, until)),
        Ok(response) => response,
        Err(_) => refusal(deadline::exceeded()),
    }
}

/// Tells a schema that is behind from a mistake of ours, where a statement named what is missing.
async fn tell_behind(State(schema): State<Schema>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(cause) = response.headers_mut().remove(SOMETHING_MISSING) else {
        return response;
    };
    let problem = match schema.is_to_blame().await {
        Some(behind) => Problem::schema_behind(&behind),
        None => Problem::internal(String::from_utf8_lossy(cause.as_bytes())),
    };
    refusal(problem.into())
}
