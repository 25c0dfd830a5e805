//! One span, one line and one measurement a request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tracing::Instrument;

use crate::application::CORRELATION;
use crate::metrics::Durations;
use crate::telemetry::{LogLimit, continue_trace, failed, http_method};

/// Measurements of the HTTP edge. Labels are bounded: the route is the pattern, never the path.
pub(crate) struct HttpMetrics {
    duration: Family<Labels, Durations>,
    active: Gauge,
    /// Connections that were closed because their client had too many.
    pub(crate) refused_connections: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    route: String,
    status: u16,
}

/// Bucket bounds of the HTTP semantic conventions, in seconds.
pub(crate) const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

impl HttpMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            duration: Family::new_with_constructor(|| Durations::new(SECONDS.into_iter())),
            active: Gauge::default(),
            refused_connections: Counter::default(),
        };
        registry.register_with_unit(
            "http_server_request_duration",
            "Time from the request's arrival to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "http_server_active_requests",
            "Requests being worked on",
            metrics.active.clone(),
        );
        registry.register(
            "http_server_connections_refused",
            "Connections closed at once because their client had too many",
            metrics.refused_connections.clone(),
        );
        Arc::new(metrics)
    }
}

pub(super) async fn observe(
    State(metrics): State<Arc<HttpMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    let method = http_method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        url.path = request.uri().path(),
        url.scheme = "http",
        http.response.status_code = tracing::field::Empty,
        { CORRELATION } = tracing::field::Empty,
    );
    continue_trace(&span, request.headers());
    let started = Instant::now();
    let active = Active::count(&metrics.active);
    let response = next.run(request).instrument(span.clone()).await;
    drop(active);
    let status = response.status();
    let elapsed = started.elapsed();
    let labels = Labels {
        method,
        route,
        status: status.as_u16(),
    };
    crate::metrics::observe(&metrics.duration.get_or_create(&labels), elapsed, &span);
    span.in_scope(|| {
        span.record("http.response.status_code", status.as_u16());
        let duration_ms = elapsed.as_micros() as f64 / 1000.0;
        if status.is_server_error() {
            failed(&span, status.as_str().to_owned());
        }
        log(status, duration_ms);
    });
    response
}

/// A replica that is overloaded, or without its database, refuses thousands a second: they are counted in the metrics and
/// told once in a while.
fn log(status: StatusCode, duration_ms: f64) {
    static REFUSED: LogLimit = LogLimit::new();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        if let Some(left_out) = REFUSED.due() {
            tracing::warn!(duration_ms, left_out, "request refused for now");
        }
    } else if status.is_server_error() {
        tracing::warn!(duration_ms, "request answered");
    } else {
        tracing::debug!(duration_ms, "request answered");
    }
}

/// Counts a request for as long as it lives, also when its future is dropped half-way.
struct Active<'a>(&'a Gauge);

impl<'a> Active<'a> {
    fn count(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
