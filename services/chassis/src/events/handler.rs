//! Hearing an event, as a service sees it: no acknowledgements, no redeliveries, only a transaction and an answer.

use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use uuid::Uuid;

use super::contract::Envelope;
use crate::db::{self, Transaction};

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Applied, or nothing to do: the transaction is committed, the event acknowledged.
    Done,
    /// Not yet possible: the transaction is rolled back, the event comes again. After ten times it is dead.
    Retry { after: Duration, cause: String },
    /// Never possible: the transaction is rolled back, the event goes to the dead letters.
    Dead { cause: String },
}

impl Outcome {
    pub fn retry(after: Duration, cause: impl Into<String>) -> Self {
        Self::Retry {
            after,
            cause: cause.into(),
        }
    }

    pub fn dead(cause: impl Into<String>) -> Self {
        Self::Dead {
            cause: cause.into(),
        }
    }
}

/// Hears the events of a service. The runner opens the transaction, checks the inbox, calls, commits, acknowledges.
pub trait Handler: Send + Sync + 'static {
    /// The subjects to hear: `shop.orders.order.confirmed.v1`.
    fn subjects(&self) -> &'static [&'static str];

    /// Applies one event within `tx`. An error rolls back and tries again: an outage for ever, a refused statement ten
    /// times.
    fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
    ) -> impl Future<Output = Result<Outcome, db::Error>> + Send;

    /// Called after the commit of an event that was applied: the moment to wake who waits for its effect.
    fn committed(&self, _event: &Received) {}
}

/// An event as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: Uuid,
    /// The subject: `shop.orders.order.confirmed.v1`.
    pub kind: String,
    /// What it is about.
    pub aggregate: String,
    /// Counts up per aggregate.
    pub sequence: i64,
    pub time: OffsetDateTime,
    pub traceparent: Option<String>,
    data: serde_json::Value,
}

impl Received {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let envelope: Envelope =
            serde_json::from_slice(payload).map_err(|e| format!("no CloudEvent: {e}"))?;
        if envelope.specversion != "1.0" {
            return Err(format!("CloudEvents {} is not known", envelope.specversion));
        }
        Ok(Self {
            id: envelope.id,
            kind: envelope.kind,
            aggregate: envelope.subject,
            sequence: envelope.sequence,
            time: envelope.time,
            traceparent: envelope.traceparent,
            data: envelope.data,
        })
    }

    /// Reads the fields the consumer cares for. What does not parse is dead, with the reason.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Outcome> {
        T::deserialize(&self.data)
            .map_err(|e| Outcome::dead(format!("the data of {} is not as agreed: {e}", self.kind)))
    }
}
