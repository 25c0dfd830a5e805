//! A trace as Jaeger tells it, and its spans as a tree.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What Jaeger answers.
#[derive(Deserialize)]
pub struct Found {
    /// The traces; `null` where there are none.
    #[serde(default)]
    data: Option<Vec<Trace>>,
}

impl Found {
    /// The traces.
    pub fn traces(self) -> Vec<Trace> {
        self.data.unwrap_or_default()
    }
}

/// All that is known of one trace.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// Its id.
    #[serde(rename = "traceID")]
    pub id: String,
    spans: Vec<Told>,
    #[serde(default)]
    processes: BTreeMap<String, Process>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(rename = "spanID")]
    id: String,
    operation_name: String,
    #[serde(default)]
    references: Vec<Reference>,
    /// Microseconds since 1970.
    start_time: u64,
    /// Microseconds.
    duration: u64,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default, rename = "processID")]
    process: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "traceID")]
    trace: String,
    #[serde(rename = "spanID")]
    span: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
}

/// One span in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// How many are above it.
    pub depth: usize,
    /// Whose work it is.
    pub service: String,
    /// What it did.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer`; empty for what is none of them.
    pub kind: String,
    /// Microseconds after the first span of the trace.
    pub begins: u64,
    /// Microseconds.
    pub lasts: u64,
    /// It failed; why, in a word, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// A statement of a database.
    #[serde(skip)]
    pub is_statement: bool,
    /// Its id.
    pub id: String,
}

impl Trace {
    /// The spans as a tree, each after the one that it belongs to, and what begins first before what begins later.
    pub fn tree(&self) -> Vec<Span> {
        let known: BTreeSet<_> = self.spans.iter().map(|span| span.id.as_str()).collect();
        let mut children: BTreeMap<Option<&str>, Vec<&Told>> = BTreeMap::new();
        for span in &self.spans {
            children
                .entry(self.parent(span, &known))
                .or_default()
                .push(span);
        }
        children
            .values_mut()
            .for_each(|spans| spans.sort_by_key(|span| span.start_time));
        let first = self
            .spans
            .iter()
            .map(|span| span.start_time)
            .min()
            .unwrap_or_default();
        let mut open: Vec<_> = children
            .remove(&None)
            .unwrap_or_default()
            .into_iter()
            .map(|root| (0, root))
            .rev()
            .collect();
        let mut tree = Vec::new();
        while let Some((depth, span)) = open.pop() {
            tree.push(self.told(span, depth, first));
            let below = children.remove(&Some(span.id.as_str())).unwrap_or_default();
            open.extend(below.into_iter().rev().map(|span| (depth + 1, span)));
        }
        // Only a circle is left over.
        let rest = children.into_values().flatten();
        tree.extend(rest.map(|span| self.told(span, 0, first)));
        tree
    }

    /// The span that it names as its parent, or where it names none, as its cause.
    fn parent(&self, span: &Told, known: &BTreeSet<&str>) -> Option<&str> {
        let mut here = span.references.iter().filter(|reference| {
            reference.trace == self.id && known.contains(reference.span.as_str())
        });
        let first = here.next()?;
        let parent = if first.ref_type == "CHILD_OF" {
            first
        } else {
            here.find(|reference| reference.ref_type == "CHILD_OF")
                .unwrap_or(first)
        };
        self.spans
            .iter()
            .find(|span| span.id == parent.span)
            .map(|span| span.id.as_str())
    }

    fn told(&self, span: &Told, depth: usize, first: u64) -> Span {
        let tag = |key: &str| {
            span.tags
                .iter()
                .find(|tag| tag.key == key)
                .map(|tag| &tag.value)
        };
        let word = |key: &str| {
            tag(key).map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
        };
        let failed = word("otel.status_code").as_deref() == Some("ERROR")
            || tag("error") == Some(&Value::Bool(true));
        let process = self.processes.get(&span.process);
        Span {
            depth,
            service: process
                .map(|process| process.service_name.clone())
                .unwrap_or_default(),
            name: span.operation_name.clone(),
            kind: word("span.kind")
                .filter(|kind| kind != "internal")
                .unwrap_or_default(),
            begins: span.start_time - first,
            lasts: span.duration,
            failure: failed.then(|| word("error.type").unwrap_or_else(|| "failed".into())),
            is_statement: tag("db.system.name").is_some(),
            id: span.id.clone(),
        }
    }
}

/// The failed span that is deepest, the last of those: where it began.
pub fn origin_of_failure(tree: &[Span]) -> Option<&Span> {
    let failed = tree.iter().filter(|span| span.failure.is_some());
    failed.max_by_key(|span| (span.depth, span.begins))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trace(spans: &[(&str, &str, Value)]) -> Trace {
        let spans: Vec<_> = spans.iter().enumerate().map(|(at, (id, name, more))| {
            let mut span = json!({"spanID": id, "operationName": name, "startTime": 1000 + at, "duration": 5, "processID": "p1"});
            for (key, value) in more.as_object().expect("fields") {
                span[key] = value.clone();
            }
            span
        }).collect();
        let trace =
            json!({"traceID": "t", "spans": spans, "processes": {"p1": {"serviceName": "orders"}}});
        serde_json::from_value(trace).expect("a trace")
    }

    fn below(kind: &str, span: &str) -> Value {
        json!({"references": [{"refType": kind, "traceID": "t", "spanID": span}]})
    }

    fn shape(trace: &Trace) -> String {
        let tree = trace.tree();
        tree.iter()
            .map(|span| format!("{}{}", span.depth, span.name))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn each_span_stands_below_its_parent_or_below_its_cause() {
        let told = trace(&[
            ("2", "b", below("CHILD_OF", "1")),
            ("3", "c", below("FOLLOWS_FROM", "2")),
            ("1", "a", json!({})),
            ("4", "d", below("CHILD_OF", "1")),
        ]);
        assert_eq!(shape(&told), "0a 1b 2c 1d");
    }

    #[test]
    fn no_span_is_lost_where_its_parent_is_not_there_or_is_itself() {
        let told = trace(&[
            ("1", "a", below("CHILD_OF", "gone")),
            ("2", "b", below("CHILD_OF", "3")),
            ("3", "c", below("CHILD_OF", "2")),
            ("4", "d", below("CHILD_OF", "4")),
        ]);
        let mut shape: Vec<_> = shape(&told).split(' ').map(str::to_owned).collect();
        shape.sort();
        assert_eq!(shape, ["0a", "0b", "0c", "0d"]);
    }

    #[test]
    fn a_failure_is_seen_where_it_began() {
        let failed = |parent: &str, why: &str| {
            let mut span = below("CHILD_OF", parent);
            span["tags"] = json!([{"key": "otel.status_code", "value": "ERROR"}, {"key": "error.type", "value": why}]);
            span
        };
        let told = trace(&[
            ("1", "a", json!({"tags": [{"key": "error", "value": true}]})),
            ("2", "b", failed("1", "500")),
            ("3", "c", failed("2", "08006")),
            ("4", "d", below("CHILD_OF", "3")),
        ]);
        let tree = told.tree();
        let origin = origin_of_failure(&tree).expect("a failure");
        assert_eq!(
            (origin.name.as_str(), origin.failure.as_deref()),
            ("c", Some("08006"))
        );
        assert_eq!(tree[0].failure.as_deref(), Some("failed"));
        assert_eq!(
            origin_of_failure(&trace(&[("1", "a", json!({}))]).tree()),
            None
        );
    }

    #[test]
    fn an_answer_without_traces_is_no_mistake() {
        for none in [r#"{"data": null}"#, r#"{"data": []}"#, "{}"] {
            let found: Found = serde_json::from_str(none).expect(none);
            assert!(found.traces().is_empty());
        }
    }
}
