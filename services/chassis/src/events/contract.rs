//! What an event looks like to others: a CloudEvents 1.0 envelope, a JSON Schema, examples.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::application::SUBJECTS;

/// The data of one kind of event. The service that publishes it owns the type; a consumer declares its own for what it reads.
pub trait Event: Serialize + JsonSchema {
    /// Who publishes it: `orders`.
    const SERVICE: &'static str;
    /// What happened: `order.placed`.
    const NAME: &'static str;
    /// Goes up when a consumer of the old one would break.
    const VERSION: u32 = 1;

    /// At least one, checked in beside the schema and parsed by the consumers' tests.
    fn examples() -> Vec<Self>
    where
        Self: Sized;
}

/// The NATS subject of an event, which is also its CloudEvents `type`.
pub fn subject<E: Event>() -> String {
    format!("{SUBJECTS}.{}.{}.v{}", E::SERVICE, E::NAME, E::VERSION)
}

/// A CloudEvent (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) specversion: String,
    pub(crate) id: Uuid,
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The aggregate the event is about.
    pub(crate) subject: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) time: OffsetDateTime,
    #[serde(default)]
    pub(crate) datacontenttype: String,
    /// Counts up per aggregate.
    pub(crate) sequence: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
    pub(crate) data: Value,
}

impl Envelope {
    pub(crate) fn new<E: Event>(
        aggregate: &str,
        sequence: i64,
        event: &E,
        traceparent: Option<String>,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            specversion: "1.0".to_owned(),
            id: Uuid::now_v7(),
            source: format!("/{SUBJECTS}/{}", E::SERVICE),
            kind: subject::<E>(),
            subject: aggregate.to_owned(),
            time: OffsetDateTime::now_utc(),
            datacontenttype: "application/json".to_owned(),
            sequence,
            traceparent,
            data: serde_json::to_value(event)?,
        })
    }
}

/// The checked-in contract of one kind of event.
pub struct EventContract {
    pub(crate) file: String,
    schema: Schema,
    examples: Vec<Envelope>,
}

impl EventContract {
    /// The contract of `E`, with fixed ids and times so that it can be checked in and compared.
    pub fn of<E: Event>() -> Self {
        let examples = E::examples()
            .iter()
            .zip(1_u8..)
            .map(|(event, n)| Envelope {
                id: Uuid::from_bytes([n; 16]),
                time: OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000 + i64::from(n)),
                // An event that cannot be written as JSON shows here, in the test of every build.
                ..Envelope::new(&format!("example-{n}"), i64::from(n), event, None)
                    .unwrap_or_else(|e| panic!("an example of {} is no JSON: {e}", E::NAME))
            })
            .collect();
        Self {
            file: format!("{}.v{}", E::NAME, E::VERSION),
            schema: schemars::schema_for!(E),
            examples,
        }
    }

    /// Writes `<event>.v1.schema.json` (of the data) and `<event>.v1.examples.json` (whole envelopes) into `folder`.
    pub(crate) fn write(&self, folder: &std::path::Path) -> anyhow::Result<()> {
        for (name, value) in [
            ("schema", serde_json::to_value(&self.schema)?),
            ("examples", serde_json::to_value(&self.examples)?),
        ] {
            let path = folder.join(format!("{}.{name}.json", self.file));
            let mut text = serde_json::to_string_pretty(&value)?;
            text.push('\n');
            std::fs::write(&path, text)?;
        }
        Ok(())
    }
}
