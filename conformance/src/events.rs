//! Events: their examples as others publish them, and what a service publishes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use uuid::Uuid;

/// The name of the durable consumer of a service for a kind of event.
pub(crate) fn durable(service: &str, kind: &str) -> String {
    format!("{service}-{}", kind.replace('.', "-"))
}

/// The trace that a `traceparent` belongs to, and the `traceparent`.
pub(crate) fn new_trace() -> (String, String) {
    let trace = Uuid::new_v4().simple().to_string();
    let traceparent = format!("00-{trace}-{}-01", &trace[..16]);
    (trace, traceparent)
}

/// An event as it lies in the stream.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    /// `Nats-Msg-Id`
    pub(crate) message_id: Option<String>,
    pub(crate) headers: Option<async_nats::HeaderMap>,
    pub(crate) payload: String,
}

impl Published {
    pub(crate) fn envelope(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or_default()
    }
}

/// The contracts of events, in folders of `<event>.v<n>.examples.json` and `<event>.v<n>.schema.json`.
pub(crate) struct Contracts {
    pub(crate) folders: Vec<PathBuf>,
}

impl Contracts {
    /// The examples of a kind of event, each as an event that has never happened before: what stands in them as a UUID or a
    /// mail address becomes another one, the same for the same.
    pub(crate) fn examples(&self, kind: &str) -> Result<Vec<Value>> {
        let Some(Value::Array(examples)) = self.file(kind, "examples")? else {
            anyhow::bail!(
                "there are no examples of the event {kind}; say with --events where they are"
            );
        };
        let mut known = BTreeMap::new();
        Ok(examples
            .into_iter()
            .map(|example| event(&freshened(example, &mut known)))
            .collect())
    }

    /// The schema of the data of a kind of event, where there is one.
    pub(crate) fn schema(&self, kind: &str) -> Result<Option<Value>> {
        self.file(kind, "schema")
    }

    fn file(&self, kind: &str, what: &str) -> Result<Option<Value>> {
        // `shop.<service>.<event>.v<n>`
        let event = kind
            .splitn(3, '.')
            .nth(2)
            .with_context(|| format!("{kind} is no kind of event"))?;
        let name = format!("{event}.{what}.json");
        let mut paths = self.folders.iter().map(|folder| folder.join(&name));
        let Some(path) = paths.find(|path| path.exists()) else {
            return Ok(None);
        };
        let text = fs::read_to_string(&path)?;
        let value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON", path.display()))?;
        Ok(Some(value))
    }
}

/// The example as something that happens now, to something of its own.
fn event(example: &Value) -> Value {
    let mut event = example.clone();
    event["id"] = Uuid::now_v7().to_string().into();
    event["subject"] = Uuid::now_v7().to_string().into();
    let now = time::OffsetDateTime::now_utc();
    let now = now.format(&time::format_description::well_known::Rfc3339);
    event["time"] = now.unwrap_or_default().into();
    event
}

/// Every UUID in a value.
pub(crate) fn ids(value: &Value) -> Vec<&str> {
    let texts = texts(value).into_iter();
    texts.filter(|text| Uuid::parse_str(text).is_ok()).collect()
}

/// Every mail address in a value.
pub(crate) fn addresses(value: &Value) -> Vec<&str> {
    texts(value)
        .into_iter()
        .filter(|text| domain(text).is_some())
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => vec![],
    }
}

/// What follows the `@` of a mail address.
fn domain(text: &str) -> Option<&str> {
    let (_, domain) = text.split_once('@')?;
    (!text.contains(char::is_whitespace)).then_some(domain)
}

fn freshened(value: Value, known: &mut BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) if Uuid::parse_str(&text).is_ok() => {
            let new = known
                .entry(text)
                .or_insert_with(|| Uuid::now_v7().to_string());
            Value::String(new.clone())
        }
        Value::String(text) if domain(&text).is_some() => {
            let new = format!(
                "{}@{}",
                Uuid::now_v7().simple(),
                domain(&text).unwrap_or_default()
            );
            Value::String(known.entry(text).or_insert(new).clone())
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| freshened(item, known))
            .collect(),
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, field)| (name, freshened(field, known)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_freshened_example_has_new_ids_that_still_belong_together() {
        let id = "01930000-0000-7000-8000-000000000002";
        let example =
            json!({"data": {"a": id, "b": [id], "c": "mug-blue", "d": "ada@shop.example"}});
        let fresh = freshened(example, &mut BTreeMap::new());
        assert_ne!(fresh["data"]["a"], id);
        assert_eq!(fresh["data"]["a"], fresh["data"]["b"][0]);
        assert_eq!(fresh["data"]["c"], "mug-blue");
        assert_ne!(fresh["data"]["d"], "ada@shop.example");
        assert_eq!(addresses(&fresh).len(), 1);
        assert_eq!(ids(&fresh).len(), 2);
    }
}
