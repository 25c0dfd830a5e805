//! A trace as Jaeger tells it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// A span.
pub(crate) struct Span {
    pub(crate) id: String,
    pub(crate) service: String,
    pub(crate) name: String,
    /// What it says it is below, of this trace. Jaeger shows a parent that is also linked to as a link alone.
    pub(crate) above: Option<String>,
    tags: BTreeMap<String, String>,
}

impl Span {
    pub(crate) fn tag(&self, key: &str) -> &str {
        self.tags.get(key).map_or("", String::as_str)
    }

    pub(crate) fn kind(&self) -> &str {
        self.tag("span.kind")
    }

    pub(crate) fn failed(&self) -> bool {
        self.tag("otel.status_code") == "ERROR"
    }
}

/// From one service to another: who, whom, and by which event, or `request`.
pub(crate) type Edge = (String, String, String);

/// All spans that are known of a trace.
pub(crate) struct Trace {
    pub(crate) spans: Vec<Span>,
}

impl Trace {
    /// Jaeger's answer for one trace.
    pub(crate) fn read(mut answer: Value) -> Result<Self> {
        let first = answer["data"].get_mut(0).map(Value::take);
        let told: Told = serde_json::from_value(first.context("no trace")?)?;
        let id = told.id;
        let mut spans = vec![];
        for span in told.spans {
            let process = told.processes.get(&span.process).context("a process")?;
            let mut above = span.references.into_iter().filter(|r| r.trace == id);
            spans.push(Span {
                id: span.id,
                service: process.service.clone(),
                name: span.name,
                above: above.next().map(|reference| reference.span),
                tags: span.tags.into_iter().map(Tag::pair).collect(),
            });
        }
        Ok(Self { spans })
    }

    /// The span that another is below, if it is known.
    pub(crate) fn parent(&self, span: &Span) -> Option<&Span> {
        let above = span.above.as_ref()?;
        self.spans.iter().find(|other| other.id == *above)
    }

    /// Those that are below nothing that is known.
    pub(crate) fn roots(&self) -> Vec<&Span> {
        let is_root = |span: &&Span| self.parent(span).is_none();
        self.spans.iter().filter(is_root).collect()
    }

    /// How the services of the trace came to each other.
    pub(crate) fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for span in &self.spans {
            let Some(parent) = self.parent(span) else {
                continue;
            };
            if parent.service != span.service {
                let how = match span.kind() {
                    "server" => "request",
                    "consumer" => span.tag("messaging.destination.name"),
                    _ => &span.name,
                };
                edges.insert((parent.service.clone(), span.service.clone(), how.into()));
            }
        }
        edges
    }

    pub(crate) fn services(&self) -> BTreeSet<&str> {
        self.spans.iter().map(|span| &*span.service).collect()
    }

    /// Of the spans that failed, the one that is below the most others.
    pub(crate) fn deepest_failure(&self) -> Option<&Span> {
        let failed = self.spans.iter().filter(|span| span.failed());
        failed.max_by_key(|span| self.depth(span))
    }

    fn depth(&self, span: &Span) -> usize {
        std::iter::successors(self.parent(span), |above| self.parent(above))
            .take(self.spans.len())
            .count()
    }
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "traceID")]
    id: String,
    spans: Vec<ToldSpan>,
    processes: BTreeMap<String, Process>,
}

#[derive(Deserialize)]
struct Process {
    #[serde(rename = "serviceName")]
    service: String,
}

#[derive(Deserialize)]
struct ToldSpan {
    #[serde(rename = "spanID")]
    id: String,
    #[serde(rename = "operationName")]
    name: String,
    #[serde(rename = "processID")]
    process: String,
    references: Vec<Reference>,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "traceID")]
    trace: String,
    #[serde(rename = "spanID")]
    span: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

impl Tag {
    fn pair(self) -> (String, String) {
        let value = match self.value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        (self.key, value)
    }
}
