//! What every request passes through, outermost first: observation, the connection's end, other origins, compression, what a
//! service puts around its answers, what no request may be, panic guard, load limit, deadline, body limit; of an API, schema.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::client_ip::{Speakers, TrustedProxies};
use super::connection::{Connection, announce_close};
use super::cors::Origins;
use super::observe::{HttpMetrics, observe};
use super::problem::{Problem, SomethingMissing};
use crate::auth::ApiToken;
use crate::db::Schema;
use crate::deadline;
use crate::settings::{Env, SettingError};

/// Bodies are small here; a route that takes more says so itself with its own `DefaultBodyLimit`, and asks first who
/// sends it. As many requests as are worked on at once hold 8 MiB.
pub(crate) const BODY_LIMIT: usize = 16 * 1024;
/// Requests worked on at once; the next one is answered 503 rather than queued.
pub(crate) const CONCURRENCY: usize = 512;
/// The longest a request may take, and what it gets when the caller names no deadline.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// An answer that fits into one packet, in bytes, is not made smaller.
const COMPRESSED_ABOVE: u64 = 1400;

/// The settings of the edge.
pub(crate) struct EdgeSettings {
    /// `TRUSTED_PROXIES` and `PROXY_TOKEN`
    pub(crate) speakers: Speakers,
    /// `CORS_ORIGINS`
    pub(crate) origins: Option<Origins>,
}

impl EdgeSettings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        Ok(Self {
            speakers: Speakers {
                proxies: env.or("TRUSTED_PROXIES", TrustedProxies::default())?,
                token: env.optional_secret("PROXY_TOKEN")?.map(ApiToken::new),
            },
            origins: env.optional("CORS_ORIGINS")?,
        })
    }
}

/// What an API answers beside its routes: problems for what it does not have, and for a schema that is behind.
pub(crate) fn api(routes: Router, schema: Schema) -> Router {
    routes
        .fallback(async || Problem::not_found("There is nothing at this path."))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This resource does not take this method.",
            )
        })
        .layer(from_fn_with_state(schema, tell_behind))
}

/// Wraps what a process answers. From `leaving` on, each answer asks its client to take another connection.
pub(crate) fn layer(
    routes: Router,
    around: fn(Router) -> Router,
    settings: EdgeSettings,
    metrics: Arc<HttpMetrics>,
    leaving: CancellationToken,
) -> Router {
    let load = Arc::new(Semaphore::new(CONCURRENCY));
    let routes = routes
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(keep_deadline))
        .layer(from_fn_with_state(load, limit_load))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal("a handler panicked").into_response()
        }))
        .layer(from_fn(refuse_malformed));
    let routes = around(routes).layer(
        CompressionLayer::new()
            .quality(CompressionLevel::Fastest)
            // What is said bit by bit is to arrive so.
            .compress_when(SizeAbove::new(COMPRESSED_ABOVE).and(NotForContentType::SSE)),
    );
    let routes = match settings.origins {
        Some(origins) => routes.layer(origins.layer()),
        None => routes,
    };
    routes
        .layer(from_fn_with_state(leaving, announce_close))
        .layer(from_fn_with_state(settings.speakers, name_client))
        .layer(from_fn_with_state(metrics, observe))
}

/// Notes who the client is, for limits.
async fn name_client(
    State(speakers): State<Speakers>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(connection) = request.extensions().get::<Connection>() {
        let client = speakers.client(connection.peer, request.headers());
        request.extensions_mut().insert(client);
    }
    next.run(request).await
}

/// Refuses what is wrong with a request whatever it asks for.
async fn refuse_malformed(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    // RFC 9112, 3.2: one, no more and no less. HTTP/1.0 knows none.
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let detail = "Send exactly one Host header.";
        return Problem::new(StatusCode::BAD_REQUEST, "host_missing", detail).into_response();
    }
    let is_encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(is_encoded) {
        let problem = Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "encoding_not_supported",
            "Send the body as it is, without Content-Encoding.",
        );
        // RFC 9110, 12.5.3: tells that it is the encoding, and which one would do.
        let accepted = [(header::ACCEPT_ENCODING, "identity")];
        return (accepted, problem).into_response();
    }
    next.run(request).await
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
        Err(_) => Problem::deadline().into_response(),
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
