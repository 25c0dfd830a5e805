//! One event, from its bytes to what became of it in the database.

use time::OffsetDateTime;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::handler::{Outcome, Received};
use super::inbox;
use super::subscriptions::{Called, Subscriptions};
use super::unapplied::{self, Reason, State};
use crate::application::CORRELATION;
use crate::db::{self, Db, Schema};
use crate::metrics::{EventMetrics, ProcessedLabels, SubjectLabels};
use crate::telemetry::{LogLimit, continue_traceparent, failed, is_late, link};

/// What came of one try.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Applied,
    /// It was applied before.
    Duplicate,
    NotApplied(Reason),
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processed {
    Applied,
    Duplicate,
    /// Not applied, and kept in the database.
    Kept(State),
    /// The database is away or its schema behind: nothing has happened.
    Waiting,
    /// It was not applied, and the database, which is there, does not take it as that either: something is wrong with it.
    Refused,
}

impl Processed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Kept(State::Parked) => "parked",
            Self::Kept(State::Retried) => "retried",
            Self::Kept(State::Dead) => "dead",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
        }
    }
}

impl Processed {
    /// Parked is none: what it waits for may be on its way.
    fn is_failure(self) -> bool {
        match self {
            Self::Applied | Self::Duplicate | Self::Kept(State::Parked) => false,
            Self::Kept(State::Retried | State::Dead) | Self::Waiting | Self::Refused => true,
        }
    }
}

/// Applies events with the handlers of a service.
#[derive(Clone)]
pub(crate) struct Processor {
    pub(crate) db: Db,
    pub(crate) schema: Schema,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) metrics: EventMetrics,
}

impl Processor {
    /// Applies the event in a transaction of its own, or keeps it with the reason why not. `sent_in` is the span that published it,
    /// where it comes from the broker.
    pub(crate) async fn process(
        &self,
        subject: &str,
        payload: &[u8],
        sent_in: Option<&str>,
    ) -> Processed {
        let processed = match Received::parse(subject, payload) {
            Ok(event) => {
                let span = span_of(&event, sent_in, OffsetDateTime::now_utc());
                let work = self.apply(subject, payload, &event);
                let processed = work.instrument(span.clone()).await;
                if processed.is_failure() {
                    failed(&span, processed.as_str());
                }
                if matches!(processed, Processed::Applied) {
                    self.note_age(subject, event.time);
                }
                processed
            }
            Err(cause) => {
                let reason = Reason::Dead { cause };
                self.keep(payload_id(payload), subject, payload, &reason)
                    .await
            }
        };
        let labels = ProcessedLabels {
            subject: self.known_subject(subject),
            outcome: processed.as_str(),
        };
        self.metrics.processed.get_or_create(&labels).inc();
        processed
    }

    async fn apply(&self, subject: &str, payload: &[u8], event: &Received) -> Processed {
        match self.attempt(event).await {
            Ok(Attempt::Applied) => Processed::Applied,
            Ok(Attempt::Duplicate) => Processed::Duplicate,
            Ok(Attempt::NotApplied(reason)) => self.keep(event.id, subject, payload, &reason).await,
            Err(error) => {
                tracing::debug!(%error, "the database is away or its schema behind; the event waits");
                Processed::Waiting
            }
        }
    }

    /// One try in a transaction of its own, which is committed if the event was applied.
    ///
    /// # Errors
    /// The database is away, or its schema behind.
    pub(crate) async fn attempt(&self, event: &Received) -> Result<Attempt, db::Error> {
        match self.transact(event).await {
            // A refused statement is tried again: it may have collided.
            Err(error @ db::Error::Query(_))
                if !error.names_what_is_missing() || self.schema.is_to_blame().await.is_none() =>
            {
                let cause = error.to_string();
                Ok(Attempt::NotApplied(Reason::Failed { cause }))
            }
            outcome => outcome,
        }
    }

    async fn transact(&self, event: &Received) -> Result<Attempt, db::Error> {
        let Some(handler) = self.subscriptions.handler_of(&event.kind) else {
            let cause = format!("{} is not handled here", event.kind);
            return Ok(Attempt::NotApplied(Reason::Dead { cause }));
        };
        let mut connection = self.db.get().await?;
        let tx = db::transaction(&mut connection).await?;
        if !inbox::enter(&tx, event.id).await? {
            unapplied::forget(&tx, event.id).await?;
            tx.commit().await?;
            return Ok(Attempt::Duplicate);
        }
        let outcome = match handler.handle(&tx, event).await? {
            Called::Answered(outcome) => outcome,
            Called::Panicked(words) => {
                let cause = format!("the handler panicked: {words}");
                return Ok(Attempt::NotApplied(Reason::Failed { cause }));
            }
        };
        Ok(Attempt::NotApplied(match outcome {
            Outcome::Done => {
                unapplied::forget(&tx, event.id).await?;
                tx.commit().await?;
                handler.committed(event);
                return Ok(Attempt::Applied);
            }
            Outcome::Parked {
                waits_for,
                at_most,
                cause,
            } => Reason::Parked {
                waits_for,
                at_most,
                cause,
            },
            Outcome::Dead { cause } => Reason::Dead { cause },
        }))
    }

    async fn keep(&self, id: Uuid, subject: &str, payload: &[u8], reason: &Reason) -> Processed {
        let text = String::from_utf8_lossy(payload);
        let error = match unapplied::keep(&self.db, id, subject, &text, reason).await {
            Ok(Some(state)) => {
                log(id, subject, state, reason);
                return Processed::Kept(state);
            }
            Ok(None) => return Processed::Duplicate,
            Err(error) => error,
        };
        // A table that is missing here is the chassis' own, so the schema is behind.
        if matches!(error, db::Error::Unavailable(_)) || error.names_what_is_missing() {
            return Processed::Waiting;
        }
        static LINES: LogLimit = LogLimit::new();
        if let Some(left_out) = LINES.due() {
            let advice = "an event was not applied and the database refuses to keep it; it is delivered again until the database is mended";
            tracing::error!(event_id = %id, %error, left_out, "{advice}");
        }
        Processed::Refused
    }

    fn note_age(&self, subject: &str, time: OffsetDateTime) {
        let labels = SubjectLabels {
            subject: self.known_subject(subject),
        };
        let age = (OffsetDateTime::now_utc() - time).as_seconds_f64();
        // The clocks of two machines differ a little.
        self.metrics
            .age
            .get_or_create(&labels)
            .observe(age.max(0.0));
    }

    /// The subject as a bounded label.
    fn known_subject(&self, subject: &str) -> String {
        let known = self.subscriptions.handler_of(subject).is_some();
        if known { subject } else { "other" }.to_owned()
    }
}

fn log(id: Uuid, subject: &str, state: State, reason: &Reason) {
    let (Reason::Parked { cause, .. } | Reason::Failed { cause } | Reason::Dead { cause }) = reason;
    match state {
        State::Parked => tracing::debug!(event_id = %id, subject, cause, "event is parked"),
        State::Retried => {
            tracing::info!(event_id = %id, subject, cause, "event will be tried again");
        }
        State::Dead => {
            tracing::warn!(event_id = %id, subject, cause, "event is dead; see /dead-letters");
        }
    }
}

/// A child of the span that published the event and linked to it. What comes late is only linked: it begins a trace of its own.
fn span_of(event: &Received, sent_in: Option<&str>, now: OffsetDateTime) -> Span {
    let span = span_without_cause(event);
    let caused_by = event.traceparent.as_deref();
    if is_late(event.time, now) {
        link(&span, caused_by);
    } else {
        // A relay that knows of no spans passes on what the event says itself.
        continue_traceparent(&span, sent_in.or(caused_by));
    }
    span
}

/// A trace of its own, linked to what has caused the event: somebody has it tried again long after that.
pub(crate) fn span_of_replay(event: &Received) -> Span {
    let span = span_without_cause(event);
    link(&span, event.traceparent.as_deref());
    span
}

fn span_without_cause(event: &Received) -> Span {
    let span = tracing::info_span!(
        "event",
        otel.name = format!("process {}", event.kind),
        otel.kind = "consumer",
        messaging.system = "nats",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = %event.kind,
        messaging.message.id = %event.id,
        { CORRELATION } = tracing::field::Empty,
    );
    span
}

/// A payload without a readable id gets one of its content, so that its redelivery is the same dead letter.
fn payload_id(payload: &[u8]) -> Uuid {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(payload);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
