//! What every call passes through, outermost first: observation, panic guard, load limit, deadline, schema.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::service::Routes;
use tower_http::catch_panic::CatchPanicLayer;

use super::deadline::{self, Until};
use super::observe::{Observer, observe};
use super::server::Peer;
use super::status::SOMETHING_MISSING;
use crate::db::Schema;
use crate::deadline::within;
use crate::http::{CONCURRENCY, LONGEST, Problem, TrustedProxies};

/// Calls of health and reflection at once, streams among them.
const OWN_STREAMS: usize = 64;

/// Wraps the API of a service.
pub(crate) fn layer(
    routes: Routes,
    proxies: TrustedProxies,
    observer: Observer,
    schema: Schema,
) -> Routes {
    let load = Arc::new(Semaphore::new(CONCURRENCY));
    let own_streams = Arc::new(Semaphore::new(OWN_STREAMS));
    routes
        .into_axum_router()
        .layer(from_fn_with_state(schema, tell_behind))
        .layer(from_fn(keep_deadline))
        .layer(from_fn_with_state(load, limit_load))
        .layer(from_fn_with_state(own_streams, limit_own_streams))
        .layer(CatchPanicLayer::custom(|_| {
            refusal(Problem::internal("a handler panicked").into())
        }))
        .layer(from_fn_with_state(proxies, name_client))
        .layer(from_fn_with_state(observer, observe))
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

/// A call counts as at work until its answer begins: what a service streams has limits of its own.
async fn limit_load(State(load): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match load.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => overloaded(),
    }
}

fn overloaded() -> Response {
    refusal(Problem::overloaded("This replica has as many calls at work as it takes.").into())
}

/// Health and reflection, which anybody may ask, count until their streams end. One of reflection would never: whoever describes
/// a service asks a few questions.
async fn limit_own_streams(
    State(own): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/grpc.") {
        return next.run(request).await;
    }
    let describes = path.starts_with("/grpc.reflection.");
    let Ok(place) = own.try_acquire_owned() else {
        return overloaded();
    };
    let until = Instant::now() + LONGEST;
    next.run(request).await.map(|body| {
        let body = match describes {
            true => Until::wrap(body, until),
            false => body,
        };
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    })
}

/// Sets the task's deadline from the caller's, and answers when it passes. The handler is dropped then: what it had in a
/// transaction is rolled back. A stream has the caller's deadline too, and without one its own end.
async fn keep_deadline(request: Request, next: Next) -> Response {
    let asked = deadline::asked(request.headers());
    let began = Instant::now();
    let until = began + asked.unwrap_or(LONGEST).min(LONGEST);
    let answer = tokio::time::timeout_at(until.into(), within(until, next.run(request))).await;
    // What is streamed ends by itself, and not because a call may take no longer.
    let all_of_it = asked.and_then(|asked| began.checked_add(asked));
    match (answer, all_of_it) {
        (Ok(response), Some(until)) => response.map(|body| Until::wrap(body, until)),
        (Ok(response), None) => response,
        (Err(_), _) => refusal(deadline::exceeded()),
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
