//! What a span says of a failure (OpenTelemetry, "Recording errors").

use opentelemetry::trace::Status;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Marks the span of what has failed, where it failed. `error_type` has few values: a status code, an SQLSTATE, a word.
pub fn failed(span: &Span, error_type: impl Into<opentelemetry::Value>) {
    span.set_status(Status::error(""));
    span.set_attribute("error.type", error_type);
}
