//! The relay: takes unpublished rows, publishes them, waits for the acknowledgement, marks them.
//!
//! Rows are found by "not yet published" and never by "id greater than the last one seen": ids are not committed in their
//! order. Several replicas share the work by `skip locked`. A published event that could not be marked is published again
//! under the same `Nats-Msg-Id`, and consumers have an inbox: once in effect.

use std::future::IntoFuture;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::message::PublishMessage;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::broker::{Broker, KEEP};
use super::{dead_letters, outbox};
use crate::db::{self, Db};
use crate::health::Condition;
use crate::metrics::EventMetrics;

/// Rows in one transaction.
const BATCH: i64 = 200;
/// Rows in one statement when a lost stream is filled again.
const REFILL: i64 = 2_000;
/// The longest time between two looks when nobody wakes the relay: another replica may have died with its rows.
const POLL: Duration = Duration::from_millis(500);
/// A wake-up comes before the commit it is about: so many short looks follow it.
const LOOKS: [u64; 5] = [1, 5, 15, 40, 100];

pub(crate) struct Relay {
    pub(crate) db: Db,
    pub(crate) broker: Broker,
    pub(crate) metrics: EventMetrics,
    pub(crate) connected: Condition,
}

impl Relay {
    /// Runs until `stop`, then publishes what is left.
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        self.refill().await?;
        self.connected.met();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = outbox::SAID.notified() => self.publish_soon().await?,
                () = tokio::time::sleep(POLL) => self.publish_all().await.map(drop)?,
            }
        }
        self.publish_all().await?;
        Ok(())
    }

    /// Every ten seconds until `stop`: measures, deletes what is old, closes connections nobody uses, and looks whether
    /// the broker lost its stream (last, because that needs the broker).
    pub(crate) async fn keep_house(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(Duration::from_secs(10));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => {}
            }
            self.measure().await?;
            self.delete_old().await?;
            self.db.trim();
            self.refill().await?;
        }
    }

    async fn publish_soon(&self) -> anyhow::Result<()> {
        for pause in LOOKS {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if self.publish_all().await? > 0 {
                break;
            }
        }
        Ok(())
    }

    async fn publish_all(&self) -> anyhow::Result<usize> {
        let mut published = 0;
        loop {
            let batch = self.publish_batch().await?;
            published += batch;
            if batch < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(published);
            }
        }
    }

    async fn publish_batch(&self) -> anyhow::Result<usize> {
        let mut connection = self.db.get().await?;
        let tx = db::transaction(&mut connection).await?;
        let rows = db::query(
            &tx,
            "select id, subject, envelope, traceparent from outbox where published_at is null
             order by id limit $1 for update skip locked",
            &[&BATCH],
        )
        .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let mut waiting = FuturesUnordered::new();
        for row in &rows {
            let id: Uuid = row.get("id");
            let mut message = PublishMessage::build()
                .message_id(id.to_string())
                .payload(row.get::<_, String>("envelope").into());
            if let Some(traceparent) = row.get::<_, Option<&str>>("traceparent") {
                message = message.header("traceparent", traceparent);
            }
            let acknowledgement = self
                .broker
                .jetstream
                .send_publish(row.get::<_, String>("subject"), message)
                .await
                .context("the broker does not take events")?;
            waiting.push(async move { acknowledgement.into_future().await.map(|_| id) });
        }
        let mut done = Vec::with_capacity(rows.len());
        let mut failure = None;
        while let Some(acknowledged) = waiting.next().await {
            match acknowledged {
                Ok(id) => done.push(id),
                Err(error) => failure = Some(error),
            }
        }
        db::execute(
            &tx,
            "update outbox set published_at = now() where id = any($1)",
            &[&done],
        )
        .await?;
        tx.commit().await?;
        self.metrics.published.inc_by(done.len() as u64);
        match failure {
            None => Ok(done.len()),
            Some(error) => Err(error).context("the broker did not acknowledge all events"),
        }
    }

    /// A stream that is younger than events it should hold has lost them: they are published once more. So a broker that
    /// comes back empty is filled again without a hand.
    async fn refill(&self) -> anyhow::Result<()> {
        let mut stream = self
            .broker
            .stream()
            .await
            .context("the broker does not answer")?;
        let created = stream.info().await?.created;
        let connection = self.db.get().await?;
        let mut again = 0;
        loop {
            // In parts: a week of events in one statement would not end within its time.
            let part = db::execute(
                &connection,
                "update outbox set published_at = null where id in
                     (select id from outbox where published_at < $1 limit $2 for update skip locked)",
                &[&created, &REFILL],
            )
            .await?;
            again += part;
            if part == 0 {
                break;
            }
        }
        if again > 0 {
            tracing::warn!(
                events = again,
                "the broker lost its stream; events are published again"
            );
        }
        Ok(())
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let connection = self.db.get().await?;
        let row = db::query_one(
            &connection,
            "select count(*), coalesce(extract(epoch from now() - min(created_at)), 0)::bigint
             from outbox where published_at is null",
            &[],
        )
        .await?;
        self.metrics.unpublished.set(row.get(0));
        self.metrics.oldest_unpublished_seconds.set(row.get(1));
        self.metrics
            .dead
            .set(dead_letters::count(&connection).await?);
        Ok(())
    }

    async fn delete_old(&self) -> anyhow::Result<()> {
        let connection = self.db.get().await?;
        let keep = KEEP.as_secs_f64();
        for sql in [
            "delete from outbox where published_at < now() - make_interval(secs => $1)",
            // Twice as long: what the broker still holds must find its row here.
            "delete from inbox where received_at < now() - make_interval(secs => $1::float8 * 2)",
            "delete from idempotency where created_at < now() - make_interval(secs => $1)",
        ] {
            db::execute(&connection, sql, &[&keep]).await?;
        }
        Ok(())
    }
}
