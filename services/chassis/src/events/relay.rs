//! The relay: takes unpublished rows, publishes them, waits for the acknowledgement, marks them.
//!
//! Rows are found by "not yet published" and never by "id greater than the last one seen": ids are not committed in their
//! order. Several replicas share the work by `skip locked`. A published event that could not be marked is published again
//! under the same `Nats-Msg-Id`, and consumers have an inbox: once in effect. The sequence that the broker acknowledges is kept
//! with the row, see [`super::recovery`].

use std::future::IntoFuture;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use futures::stream::{FuturesUnordered, StreamExt};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::broker::{Broker, Connection};
use super::recovery;
use crate::db::{self, Db};
use crate::health::Condition;
use crate::metrics::EventMetrics;
use crate::telemetry::{ONLY_TRACED, continue_at_once, failed, is_late, link, traceparent_of};

/// Rows in one transaction.
const BATCH: i64 = 200;
/// The longest time between two looks when nobody wakes the relay: another replica may have died with its rows.
const POLL: Duration = Duration::from_millis(500);
/// A wake-up comes before the commit it is about: so many short looks follow it.
const LOOKS: [u64; 5] = [1, 5, 15, 40, 100];

/// An event that is published again is kept no longer than if the broker had never lost it.
const PUBLISHED: &str = "
    update outbox o set published_at = case when o.stream_sequence is null then now() else o.created_at end,
        stream_sequence = a.sequence
    from unnest($1::uuid[], $2::bigint[]) as a (id, sequence) where o.id = a.id";

/// The header that carries the span which publishes an event.
pub(crate) const TRACEPARENT: &str = "traceparent";

const UNPUBLISHED: &str = "update outbox set published_at = null where id = any($1)";

pub(crate) struct Relay {
    pub(crate) db: Db,
    pub(crate) broker: Broker,
    pub(crate) metrics: EventMetrics,
    pub(crate) connected: Condition,
}

impl Relay {
    /// Runs until `stop`, then publishes what is left.
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut connection = None;
        while !stop.is_cancelled() {
            connection = self.recovered(connection).await?;
            self.connected.met();
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.db.event_added.notified() => self.publish_soon(connection).await?,
                () = tokio::time::sleep(POLL) => self.publish_all(connection).await.map(drop)?,
            }
        }
        let connection = self.recovered(connection).await?;
        self.publish_all(connection).await?;
        Ok(())
    }

    /// The connection on which it may go on: a new one after what the broker lost is marked, else `known`.
    async fn recovered(&self, known: Option<Connection>) -> anyhow::Result<Option<Connection>> {
        // Taken before the look: a connection that breaks meanwhile is looked at once more.
        let connection = self.broker.connection();
        if known.is_some() && (connection == known || connection.is_none()) {
            return Ok(known);
        }
        recovery::recover(&self.db, &self.broker).await?;
        Ok(connection)
    }

    async fn publish_soon(&self, connection: Option<Connection>) -> anyhow::Result<()> {
        for pause in LOOKS {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if self.publish_all(connection).await? > 0 {
                break;
            }
        }
        Ok(())
    }

    async fn publish_all(&self, connection: Option<Connection>) -> anyhow::Result<usize> {
        let mut published = 0;
        loop {
            let batch = self.publish_batch(connection).await?;
            published += batch;
            if batch < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(published);
            }
        }
    }

    /// Publishes nothing, or counts it as not published, once `connection` is not the one to the broker any more: what the
    /// broker lost must be looked for first, see [`recovery`].
    async fn publish_batch(&self, connection: Option<Connection>) -> anyhow::Result<usize> {
        let is_still = || connection.is_some() && connection == self.broker.connection();
        if !is_still() {
            return Ok(0);
        }
        let mut client = self.db.get().await?;
        let tx = db::transaction(&mut client).await?;
        let rows = db::query(
            &tx,
            "select id, subject, envelope, traceparent, created_at from outbox
             where published_at is null and subject <> all($2)
             order by id limit $1 for update skip locked",
            &[&BATCH, &self.broker.refused()],
        )
        .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let sent = self.send(&rows).await?;
        if !is_still() {
            return Ok(0);
        }
        db::execute(&tx, PUBLISHED, &[&sent.ids, &sent.sequences]).await?;
        tx.commit().await?;
        if !is_still() {
            // Another replica may have looked before the commit, and seen nothing of it.
            db::execute(&client, UNPUBLISHED, &[&sent.ids]).await?;
            return Ok(0);
        }
        self.metrics.published.inc_by(sent.ids.len() as u64);
        match sent.failure {
            None => Ok(rows.len()),
            Some(error) => Err(error).context("the broker did not acknowledge all events"),
        }
    }

    async fn send(&self, rows: &[db::Row]) -> anyhow::Result<Sent> {
        let mut waiting = FuturesUnordered::new();
        for row in rows {
            let id: Uuid = row.get("id");
            let subject: String = row.get("subject");
            let mut message = PublishMessage::build()
                .message_id(id.to_string())
                .payload(row.get::<_, String>("envelope").into());
            let span = span_of(&subject, id, row.get("traceparent"), row.get("created_at"));
            if let Some(traceparent) = traceparent_of(&span) {
                message = message.header(TRACEPARENT, traceparent.as_str());
            }
            let acknowledgement = self
                .broker
                .jetstream
                .send_publish(subject.clone(), message)
                .await
                .inspect_err(|_| failed(&span, "not_sent"))
                .context("the broker does not take events")?;
            waiting.push(async move {
                let acknowledged = acknowledgement.into_future();
                let acknowledged = acknowledged.instrument(span.clone()).await;
                if acknowledged.is_err() {
                    failed(&span, "not_acknowledged");
                }
                (id, subject, acknowledged)
            });
        }
        let mut sent = Sent::default();
        while let Some((id, subject, acknowledged)) = waiting.next().await {
            match acknowledged {
                Ok(acknowledged) => {
                    sent.ids.push(id);
                    // The broker counts from one and does not get that far.
                    let sequence = i64::try_from(acknowledged.sequence).unwrap_or(i64::MAX);
                    sent.sequences.push(sequence);
                }
                // Refused meanwhile: it waits, and those of other subjects do not wait for it.
                Err(_) if self.broker.refused().contains(&subject) => {}
                Err(error) => sent.failure = Some(error),
            }
        }
        Ok(sent)
    }
}

/// Part of the trace of what made the event true, and not of the relay's own round; linked to it where that is long past, as when a
/// stream that was lost is published again.
fn span_of(subject: &str, id: Uuid, traceparent: Option<&str>, added: OffsetDateTime) -> Span {
    if traceparent.is_none() {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: ONLY_TRACED,
        "publish",
        otel.name = format!("publish {subject}"),
        otel.kind = "producer",
        messaging.system = "nats",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = subject,
        messaging.message.id = %id,
    );
    if is_late(added, OffsetDateTime::now_utc()) {
        link(&span, traceparent);
    } else {
        continue_at_once(&span, traceparent);
    }
    span
}

/// What the broker has acknowledged, and the last failure among the rest.
#[derive(Default)]
struct Sent {
    ids: Vec<Uuid>,
    sequences: Vec<i64>,
    failure: Option<PublishError>,
}
