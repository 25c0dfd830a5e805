//! One span, one line and one measurement a call, from its arrival to the end of its answer.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tonic::{Code, Status};
use tracing::{Instrument, Span};

use super::status::SOMETHING_MISSING;
use crate::application::CORRELATION;
use crate::http::SECONDS;
use crate::metrics::Durations;
use crate::telemetry::{LogLimit, continue_trace, failed};

/// Measurements of the gRPC edge. Labels are bounded: a method that is not described is `none`, however it is answered.
pub(crate) struct GrpcMetrics {
    duration: Family<Labels, Durations>,
    active: Gauge,
    /// Connections that were closed because their client had too many.
    pub(crate) refused_connections: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: String,
    code: String,
}

impl GrpcMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            duration: Family::new_with_constructor(|| Durations::new(SECONDS.into_iter())),
            active: Gauge::default(),
            refused_connections: Counter::default(),
        };
        registry.register_with_unit(
            "grpc_server_call_duration",
            "Time from the call's arrival to the end of its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "grpc_server_active_calls",
            "Calls being worked on, streams among them",
            metrics.active.clone(),
        );
        registry.register(
            "grpc_server_connections_refused",
            "Connections closed at once because their client had too many",
            metrics.refused_connections.clone(),
        );
        Arc::new(metrics)
    }
}

/// The metrics, and the methods that the port has: `package.Service/Method`.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) metrics: Arc<GrpcMetrics>,
    pub(crate) methods: Arc<BTreeSet<String>>,
}

pub(super) async fn observe(
    State(observer): State<Observer>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.uri().path().trim_start_matches('/').to_owned();
    let span = tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.method = method,
        rpc.grpc.status_code = tracing::field::Empty,
        { CORRELATION } = tracing::field::Empty,
    );
    continue_trace(&span, request.headers());
    // Whoever asks may invent methods, and is answered by whatever comes first: a login, a limit.
    let known = observer.methods.get(&method).cloned();
    let label = known.unwrap_or_else(|| "none".to_owned());
    let mut call = Call::begin(observer.metrics, label, span.clone());
    let response = next.run(request).instrument(span).await;
    call.heard(response.headers());
    response.map(|body| Body::new(Answer { body, call }))
}

/// A call, measured when it ends: with its answer, or because its caller went away.
struct Call {
    metrics: Arc<GrpcMetrics>,
    method: String,
    span: Span,
    started: Instant,
    code: Option<Code>,
}

impl Call {
    fn begin(metrics: Arc<GrpcMetrics>, method: String, span: Span) -> Self {
        metrics.active.inc();
        Self {
            metrics,
            method,
            span,
            started: Instant::now(),
            code: None,
        }
    }

    /// Takes the code from headers or trailers, where they have one.
    fn heard(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            self.code = Some(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.metrics.active.dec();
        let code = match self.code {
            Some(code) => code,
            None if std::thread::panicking() => Code::Internal,
            None => Code::Cancelled,
        };
        let elapsed = self.started.elapsed();
        let labels = Labels {
            method: std::mem::take(&mut self.method),
            code: format!("{code:?}"),
        };
        let duration = self.metrics.duration.get_or_create(&labels);
        crate::metrics::observe(&duration, elapsed, &self.span);
        drop(duration);
        self.span.in_scope(|| {
            self.span.record("rpc.grpc.status_code", code as i32);
            if is_our_mistake(code) {
                failed(&self.span, format!("{code:?}"));
            }
            log(code, elapsed.as_micros() as f64 / 1000.0);
        });
    }
}

fn is_our_mistake(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// As for HTTP: what is refused by the thousand is told once in a while.
fn log(code: Code, duration_ms: f64) {
    static REFUSED: LogLimit = LogLimit::new();
    if code == Code::Unavailable {
        if let Some(left_out) = REFUSED.due() {
            tracing::warn!(duration_ms, left_out, "call refused for now");
        }
    } else if is_our_mistake(code) {
        tracing::warn!(duration_ms, ?code, "call answered");
    } else {
        tracing::debug!(duration_ms, ?code, "call answered");
    }
}

/// The answer to a call, read to its trailers.
struct Answer {
    body: Body,
    call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let span = self.call.span.clone();
        let mut frame = span.in_scope(|| Pin::new(&mut self.body).poll_frame(cx));
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            // For the edge alone, which reads it where nothing was streamed yet.
            trailers.remove(SOMETHING_MISSING);
            self.call.heard(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
