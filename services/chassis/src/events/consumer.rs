//! Hearing events: a durable pull consumer; each event in a transaction of its own with its row in the inbox; the
//! acknowledgement after the commit. What fails is tried again and ends in the dead-letter table, never in the way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::broker::Broker;
use super::handler::{Handler, Outcome, Received};
use super::{dead_letters, inbox};
use crate::db::{self, Db, Schema, Transaction};
use crate::metrics::{EventMetrics, Heard};
use crate::telemetry::continue_traceparent;

/// Events worked on at once.
const CONCURRENCY: usize = 8;
/// After so long without an answer the broker sends an event again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Between two tries of an event whose handler failed without saying when.
const PAUSE: Duration = Duration::from_secs(1);

/// A handler behind a pointer.
pub(crate) trait DynHandler: Send + Sync {
    fn subjects(&self) -> &'static [&'static str];
    fn handle<'a>(
        &'a self,
        tx: &'a Transaction<'a>,
        event: &'a Received,
    ) -> Pin<Box<dyn Future<Output = Result<Outcome, db::Error>> + Send + 'a>>;
    fn committed(&self, event: &Received);
}

impl<H: Handler> DynHandler for H {
    fn subjects(&self) -> &'static [&'static str] {
        Handler::subjects(self)
    }

    fn handle<'a>(
        &'a self,
        tx: &'a Transaction<'a>,
        event: &'a Received,
    ) -> Pin<Box<dyn Future<Output = Result<Outcome, db::Error>> + Send + 'a>> {
        Box::pin(Handler::handle(self, tx, event))
    }

    fn committed(&self, event: &Received) {
        Handler::committed(self, event);
    }
}

/// What became of one event in the database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Consumption {
    Applied,
    Duplicate,
    Retry { after: Duration, cause: String },
    Dead { cause: String },
}

/// Applies one event in one transaction.
pub(crate) async fn apply(
    db: &Db,
    handler: &dyn DynHandler,
    event: &Received,
) -> Result<Consumption, db::Error> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    if !inbox::enter(&tx, event).await? {
        return Ok(Consumption::Duplicate);
    }
    let outcome = match handler.handle(&tx, event).await {
        Ok(outcome) => outcome,
        // A refused statement is tried again: it may have collided. What stays refused ends among the dead.
        Err(error @ db::Error::Query(_)) if !error.names_what_is_missing() => {
            Outcome::retry(PAUSE, error.to_string())
        }
        Err(error) => return Err(error),
    };
    match outcome {
        Outcome::Done => {
            dead_letters::forget(&tx, event.id).await?;
            tx.commit().await?;
            handler.committed(event);
            Ok(Consumption::Applied)
        }
        Outcome::Retry { after, cause } => Ok(Consumption::Retry { after, cause }),
        Outcome::Dead { cause } => Ok(Consumption::Dead { cause }),
    }
}

pub(crate) struct Consumer {
    pub(crate) service: &'static str,
    pub(crate) db: Db,
    pub(crate) schema: Schema,
    pub(crate) broker: Broker,
    pub(crate) handler: Arc<dyn DynHandler>,
    pub(crate) metrics: EventMetrics,
}

impl Consumer {
    /// Hears events until `stop`; those at work are finished.
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let messages = self
            .durable()
            .await?
            .stream()
            .max_messages_per_batch(64)
            .expires(Duration::from_secs(20))
            .heartbeat(Duration::from_secs(5))
            .messages()
            .await
            .context("the broker gives no events")?;
        let failure = messages
            .take_until(stop.cancelled())
            .map(|message| async move {
                match message {
                    Ok(message) => {
                        self.hear(message).await;
                        None
                    }
                    Err(error) => Some(error),
                }
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(std::future::ready);
        // The first failure ends the stream; the supervisor starts it again, and makes the consumer anew if it is gone.
        match std::pin::pin!(failure).next().await {
            Some(error) => Err(error).context("the stream of events broke"),
            None if stop.is_cancelled() => Ok(()),
            None => anyhow::bail!("the stream of events ended"),
        }
    }

    async fn durable(&self) -> anyhow::Result<PullConsumer> {
        let stream = self
            .broker
            .stream()
            .await
            .context("the broker does not answer")?;
        let consumer = stream
            .create_consumer(pull::Config {
                durable_name: Some(self.service.to_owned()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: ACK_WAIT,
                max_ack_pending: 256,
                filter_subjects: self
                    .handler
                    .subjects()
                    .iter()
                    .map(|s| (*s).to_owned())
                    .collect(),
                ..Default::default()
            })
            .await
            .context("the broker does not take the consumer")?;
        Ok(consumer)
    }

    /// One message to its end. Never fails: what goes wrong here is answered to the broker.
    async fn hear(&self, message: Message) {
        let (answer, outcome) = match Received::parse(&message.payload) {
            Ok(event) => {
                let span = tracing::info_span!(
                    "event",
                    otel.name = format!("process {}", event.kind),
                    otel.kind = "consumer",
                    messaging.system = "nats",
                    messaging.operation.name = "process",
                    messaging.destination.name = %event.kind,
                    messaging.message.id = %event.id,
                    order_id = tracing::field::Empty,
                );
                continue_traceparent(&span, event.traceparent.as_deref());
                self.consume(&message, &event).instrument(span).await
            }
            Err(cause) => {
                self.bury(&message, payload_id(&message.payload), &cause)
                    .await
            }
        };
        self.metrics
            .heard
            .get_or_create(&Heard {
                subject: self.known_subject(&message),
                outcome,
            })
            .inc();
        if let Err(error) = message.ack_with(answer).await {
            // The event comes again and the inbox knows it.
            tracing::debug!(%error, "an acknowledgement did not reach the broker");
        }
    }

    async fn consume(&self, message: &Message, event: &Received) -> (AckKind, &'static str) {
        match apply(&self.db, self.handler.as_ref(), event).await {
            Ok(Consumption::Applied) => (AckKind::Ack, "applied"),
            Ok(Consumption::Duplicate) => (AckKind::Ack, "duplicate"),
            Ok(Consumption::Retry { after, cause }) => {
                self.try_later(message, event.id, after, &cause).await
            }
            Ok(Consumption::Dead { cause }) => self.bury(message, event.id, &cause).await,
            Err(error)
                if error.names_what_is_missing() && self.schema.is_to_blame().await.is_none() =>
            {
                self.try_later(message, event.id, PAUSE, &error.to_string())
                    .await
            }
            Err(error) => {
                tracing::debug!(%error, "the database is away or its schema behind; the event waits");
                (AckKind::Nak(Some(PAUSE)), "waiting")
            }
        }
    }

    async fn try_later(
        &self,
        message: &Message,
        id: Uuid,
        after: Duration,
        cause: &str,
    ) -> (AckKind, &'static str) {
        let payload = String::from_utf8_lossy(&message.payload);
        match dead_letters::remember(&self.db, id, &message.subject, &payload, cause, false).await {
            Ok(true) => {
                tracing::warn!(event_id = %id, subject = %message.subject, cause, "event is dead after its last try; see /dead-letters");
                (AckKind::Term, "dead")
            }
            Ok(false) => {
                tracing::info!(event_id = %id, subject = %message.subject, cause, "event will be tried again");
                (AckKind::Nak(Some(after)), "retried")
            }
            Err(error) => not_remembered(id, &error),
        }
    }

    async fn bury(&self, message: &Message, id: Uuid, cause: &str) -> (AckKind, &'static str) {
        let payload = String::from_utf8_lossy(&message.payload);
        match dead_letters::remember(&self.db, id, &message.subject, &payload, cause, true).await {
            Ok(_) => {
                tracing::warn!(event_id = %id, subject = %message.subject, cause, "event cannot be applied; see /dead-letters");
                (AckKind::Term, "dead")
            }
            Err(error) => not_remembered(id, &error),
        }
    }

    /// The subject as a bounded label.
    fn known_subject(&self, message: &Message) -> String {
        let subject = message.subject.as_str();
        let known = self.handler.subjects().contains(&subject);
        if known { subject } else { "other" }.to_owned()
    }
}

/// What becomes of an event whose failure could not be written down: it waits for the database. One that the database
/// will never take must not block the queue; the stream keeps it for a week.
fn not_remembered(id: Uuid, error: &db::Error) -> (AckKind, &'static str) {
    match error {
        db::Error::Unavailable(_) => (AckKind::Nak(Some(PAUSE)), "waiting"),
        // Of the table of dead letters itself, so the schema is behind.
        db::Error::Query(_) if error.names_what_is_missing() => {
            (AckKind::Nak(Some(PAUSE)), "waiting")
        }
        db::Error::Query(_) => {
            tracing::error!(event_id = %id, %error, "an event that failed could not be kept as a dead letter");
            (AckKind::Term, "lost")
        }
    }
}

/// A payload without a readable id gets one of its content, so that its redelivery is the same dead letter.
fn payload_id(payload: &[u8]) -> Uuid {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(payload);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
