//! Handling an event, as a service sees it: no acknowledgements, no redeliveries, only a transaction and an answer.

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
    /// Applied, or nothing to do: the transaction is committed.
    Done,
    /// Not possible before something else is known here. See [`Outcome::park`].
    Parked {
        waits_for: String,
        at_most: Duration,
        cause: String,
    },
    /// Never possible: the transaction is rolled back, the event goes to the dead letters.
    Dead { cause: String },
}

impl Outcome {
    /// The event waits for `waits_for`, a name of the service's own choice (`user:<id>`): the transaction is rolled back, the
    /// event is kept in the database and tried again when [`super::parked::release`] names the same. It is also tried from
    /// time to time without that. After `at_most` it is dead.
    pub fn park(waits_for: impl Into<String>, at_most: Duration, cause: impl Into<String>) -> Self {
        Self::Parked {
            waits_for: waits_for.into(),
            at_most,
            cause: cause.into(),
        }
    }

    pub fn dead(cause: impl Into<String>) -> Self {
        Self::Dead {
            cause: cause.into(),
        }
    }
}

/// Handles one kind of event. The chassis reads the data, opens the transaction, checks the inbox, calls, commits,
/// acknowledges.
pub trait Handler: Send + Sync + 'static {
    /// The fields of the event's data that are read here. Data that do not parse are dead, with the reason.
    type Data: DeserializeOwned + Send + 'static;

    /// The kind of event: `shop.orders.order.confirmed.v1`.
    fn kind(&self) -> &'static str;

    /// Applies one event within `tx`. An error or a panic rolls back and tries again: an outage for ever, anything else ten
    /// times within about four minutes.
    fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        data: Self::Data,
    ) -> impl Future<Output = Result<Outcome, db::Error>> + Send;

    /// Called after the commit of an event that was applied: the moment to wake who waits for its effect.
    fn committed(&self, _event: &Received) {}
}

/// An event as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: Uuid,
    /// The kind, which is also the subject: `shop.orders.order.confirmed.v1`.
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
    /// Reads what arrived on `subject`. The subject is what the broker lets a service publish on; what an event says of
    /// itself must agree with it.
    pub(crate) fn parse(subject: &str, payload: &[u8]) -> Result<Self, String> {
        let envelope: Envelope =
            serde_json::from_slice(payload).map_err(|e| format!("no CloudEvent: {e}"))?;
        if envelope.specversion != "1.0" {
            return Err(format!("CloudEvents {} is not known", envelope.specversion));
        }
        if envelope.kind != subject {
            return Err(format!(
                "an event {} was published on {subject}",
                envelope.kind
            ));
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

    pub(crate) fn data<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(&self.data)
            .map_err(|e| format!("the data of {} is not as agreed: {e}", self.kind))
    }
}
