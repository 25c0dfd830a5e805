//! One line for each event on standard output: a JSON object, or a text for people who read along. `trace_id`, `span_id` and every field of
//! the enclosing spans stand at the top level (OpenTelemetry, "Trace Context in non-OTLP Log Formats"). Written here because the crates that
//! write JSON logs nest the ids, and a nested id is one that on-call cannot search for.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::str::FromStr;
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

/// How a line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum LogFormat {
    #[default]
    Json,
    Text,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("give json or text"),
        }
    }
}

impl LogFormat {
    fn write(self, line: Map<String, Value>) -> String {
        match self {
            Self::Json => Value::Object(line).to_string(),
            Self::Text => text(line),
        }
    }
}

/// `TIMESTAMP LEVEL SERVICE MESSAGE`, and the other fields behind it as `name=value`. A value with a line break stays on its line.
fn text(mut line: Map<String, Value>) -> String {
    let mut shown = |name| match line.remove(name) {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let [timestamp, level, service] = ["timestamp", "level", "service.name"].map(&mut shown);
    let mut text = format!("{timestamp} {level:5} {service} {}", shown("message"));
    for (name, value) in line {
        let _ = write!(text, " {name}={value}");
    }
    text.replace(['\n', '\r'], " ")
}

pub(super) struct LogLines {
    format: LogFormat,
    /// The way to the span's OpenTelemetry context; set when the subscriber is installed.
    dispatch: OnceLock<WeakDispatch>,
}

impl LogLines {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            dispatch: OnceLock::new(),
        }
    }

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
        let mut text = self.format.write(line);
        text.push('\n');
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}

/// Bytes of a text in a line. What a neighbour answers may be long, and a collector of logs passes over lines that it cannot hold.
const LONGEST: usize = 4096;

/// A text that is too long, cut, with what it was.
fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(LONGEST)];
    format!("{kept}… (cut, of {} bytes)", text.len())
}

struct Collect<'a>(&'a mut Map<String, Value>);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().to_owned(), cut(&format!("{value:?}")).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), cut(value).into());
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_of_a_megabyte_is_cut_between_two_characters_and_says_so() {
        let long = "ü".repeat(1 << 19);
        let kept = cut(&format!("x{long}"));
        assert!(kept.len() < LONGEST + 64, "{}", kept.len());
        assert!(kept.starts_with("xüü") && kept.ends_with("ü… (cut, of 1048577 bytes)"));
        let fits = "x".repeat(LONGEST);
        assert_eq!(cut(&fits), fits);
    }

    #[test]
    fn a_line_for_people_begins_with_when_how_bad_who_and_what_and_is_one_line() {
        let line = json!({
            "timestamp": "2026-11-28T12:00:00Z", "level": "WARN", "service.name": "users", "message": "no\nluck",
            "trace_id": "0af7", "duration_ms": 1.5,
        });
        let Value::Object(line) = line else {
            unreachable!("it is an object above")
        };
        let text = LogFormat::Text.write(line.clone());
        let expected = "2026-11-28T12:00:00Z WARN  users no luck duration_ms=1.5 trace_id=\"0af7\"";
        assert_eq!(text, expected);
        let json: Value = serde_json::from_str(&LogFormat::Json.write(line)).unwrap();
        assert_eq!(json["message"], "no\nluck");
        assert_eq!("yaml".parse::<LogFormat>(), Err("give json or text"));
    }
}
