//! One JSON object a line on standard output, with `trace_id`, `span_id` and every field of the enclosing spans at the top
//! level (OpenTelemetry, "Trace Context in non-OTLP Log Formats"). Written here because the crates that write JSON logs
//! nest the ids, and a nested id is one that on-call cannot search for.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::identity;

#[derive(Default)]
pub(super) struct LogLines {
    /// The way to the span's OpenTelemetry context; set when the subscriber is installed.
    dispatch: OnceLock<WeakDispatch>,
}

impl LogLines {
    fn add_trace_ids(&self, span: &Id, line: &mut Map<String, Value>) {
        let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else {
            return;
        };
        let Some(context) = get_otel_context(span, &dispatch) else {
            return;
        };
        let span = context.span();
        let ids = span.span_context();
        if ids.is_valid() {
            line.insert("trace_id".to_owned(), ids.trace_id().to_string().into());
            line.insert("span_id".to_owned(), ids.span_id().to_string().into());
            let flags = format!("{:02x}", ids.trace_flags().to_u8());
            line.insert("trace_flags".to_owned(), flags.into());
        }
    }
}

/// The fields of a span, kept until it closes.
struct SpanFields(Map<String, Value>);

impl<S> Layer<S> for LogLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Map::new();
            attributes.record(&mut Collect(&mut fields));
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(&mut Collect(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        let now = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .unwrap_or_default();
        line.insert("timestamp".to_owned(), now.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        if let Some(service) = identity::current() {
            line.insert("service.name".to_owned(), service.into());
        }
        line.insert("target".to_owned(), event.metadata().target().into());
        // From the root inwards: the innermost value of a field wins, and the event's own over all.
        for span in context
            .event_scope(event)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>() {
                line.extend(
                    fields
                        .iter()
                        .filter(|(name, _)| !name.starts_with("otel."))
                        .map(|(k, v)| (k.clone(), v.clone())),
                );
            }
        }
        if let Some(span) = context.event_span(event) {
            self.add_trace_ids(&span.id(), &mut line);
        }
        event.record(&mut Collect(&mut line));
        // A log line that cannot be written has nowhere to be reported.
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}

struct Collect<'a>(&'a mut Map<String, Value>);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
