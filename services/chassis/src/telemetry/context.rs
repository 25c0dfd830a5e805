//! W3C trace context: in from HTTP headers and event rows, out to both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, Method};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use time::{Duration, OffsetDateTime};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes `span` a child of the trace in the request's headers, where there is one.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails only for a span that was entered before; then it is simply the root of a trace of its own.
        let _ = span.set_parent(parent);
    }
}

/// Makes `span` part of what was asked for `at` that time: a child of the stored `traceparent` and linked to it. An hour later it is only
/// linked and begins a trace of its own, so that what is tried for days does not make up one trace without end.
pub fn continue_since(
    span: &Span,
    traceparent: Option<&str>,
    at: OffsetDateTime,
    now: OffsetDateTime,
) {
    if is_late(at, now) {
        link(span, traceparent);
    } else {
        continue_traceparent(span, traceparent);
    }
}

/// Makes `span` a child of, and links it to, the trace of a stored `traceparent`.
pub(crate) fn continue_traceparent(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = stored(traceparent) {
        span.add_link(parent.span().span_context().clone());
        // As above: at worst the root of a trace of its own, still linked.
        let _ = span.set_parent(parent);
    }
}

/// What comes later than this after its cause is no part of what was going on then, as when a stream is published once more.
const SAME_TRACE: Duration = Duration::hours(1);

/// Whether what was caused at `at` begins a trace of its own `now`.
pub(crate) fn is_late(at: OffsetDateTime, now: OffsetDateTime) -> bool {
    now - at > SAME_TRACE
}

/// Makes `span` a child of the stored `traceparent`: the work that it asked for itself, done a moment later.
pub(crate) fn continue_at_once(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = stored(traceparent) {
        let _ = span.set_parent(parent);
    }
}

/// Links `span` to the stored `traceparent` and leaves it the root of a trace of its own: what it does is long after that.
pub(crate) fn link(span: &Span, traceparent: Option<&str>) {
    if let Some(cause) = stored(traceparent) {
        span.add_link(cause.span().span_context().clone());
    }
}

fn stored(traceparent: Option<&str>) -> Option<Context> {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent?.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    let is_valid = context.span().span_context().is_valid();
    is_valid.then_some(context)
}

/// `span` as a `traceparent`, for what it sends.
pub(crate) fn traceparent_of(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove("traceparent")
}

/// The current span as a `traceparent`, to be stored with an event or a saga.
pub fn current_traceparent() -> Option<String> {
    traceparent_of(&Span::current())
}

/// The id of the current trace in lower-case hex.
pub fn current_trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Whether spans of this process go anywhere.
static EXPORTED: AtomicBool = AtomicBool::new(false);

pub(super) fn traces_are_exported() {
    EXPORTED.store(true, Ordering::Relaxed);
}

/// The id of the trace of `span`, where it can be looked at.
pub(crate) fn exported_trace_id_of(span: &Span) -> Option<String> {
    if !EXPORTED.load(Ordering::Relaxed) {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    (span.is_valid() && span.is_sampled()).then(|| span.trace_id().to_string())
}

/// The trace's id within a `traceparent`.
pub fn trace_id_of(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1).filter(|id| id.len() == 32)
}

/// Adds the current trace to the headers of an outgoing request.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new()
        .inject_context(&Span::current().context(), &mut HeaderInjector(headers));
}

/// The method as a bounded label: a client may invent methods.
pub fn http_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const CAUSE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_done_within_an_hour_is_of_the_same_trace_and_what_comes_later_is_not() {
        let tracer = SdkTracerProvider::default().tracer("test");
        let spans = tracing_opentelemetry::layer().with_tracer(tracer);
        let subscriber = tracing_subscriber::registry().with(spans);
        let at = OffsetDateTime::UNIX_EPOCH;
        tracing::subscriber::with_default(subscriber, || {
            for (later, same) in [
                (Duration::ZERO, true),
                (SAME_TRACE, true),
                (SAME_TRACE + Duration::SECOND, false),
            ] {
                let span = tracing::info_span!("try");
                continue_since(&span, Some(CAUSE), at, at + later);
                let traceparent = traceparent_of(&span).unwrap();
                assert_eq!(
                    trace_id_of(&traceparent) == trace_id_of(CAUSE),
                    same,
                    "{later}"
                );
            }
        });
    }
}
