//! What the tables of events need from time to time: figures, and an end to what is old.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::broker::{Broker, KEEP};
use super::{recovery, unapplied};
use crate::db::{self, Db};
use crate::metrics::EventMetrics;

const INTERVAL: Duration = Duration::from_secs(10);
/// Rows that are deleted of a table each time.
const PART: u32 = 2000;
/// How long dead letters wait for a person, and what no version tries again waits for one that does.
const KEEP_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) struct Housekeeping {
    pub(crate) db: Db,
    pub(crate) metrics: EventMetrics,
    pub(crate) broker: Broker,
}

impl Housekeeping {
    /// Every ten seconds until `stop`: measures, deletes what is old, closes connections nobody uses, and looks whether
    /// the broker lost events and how full it is (last, because that needs the broker).
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => {}
            }
            self.measure().await?;
            self.delete_old().await?;
            self.db.trim();
            let stream = recovery::recover(&self.db, &self.broker).await?;
            self.metrics.stream_bytes.set(stream.bytes);
            self.metrics.stream_max_bytes.set(stream.max_bytes);
        }
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
        let unapplied = unapplied::count(&connection).await?;
        self.metrics.parked.set(unapplied.parked);
        self.metrics.retried.set(unapplied.retried);
        self.metrics.dead.set(unapplied.dead);
        Ok(())
    }

    /// Of each table one part: a statement that has grown too long for its time would never get through.
    async fn delete_old(&self) -> anyhow::Result<()> {
        let connection = self.db.get().await?;
        let (keep, dead) = (KEEP.as_secs_f64(), KEEP_DEAD.as_secs_f64());
        for (table, is_old, age) in [
            (
                "outbox",
                "published_at < now() - make_interval(secs => $1)",
                keep,
            ),
            // Twice as long: what the broker still holds must find its row here, also when it was published again.
            (
                "inbox",
                "received_at < now() - make_interval(secs => $1)",
                2.0 * keep,
            ),
            (
                "failed_events",
                "dead_at < now() - make_interval(secs => $1)
                 or (dead_at is null and due_at < now() - make_interval(secs => $1))",
                dead,
            ),
            (
                "idempotency",
                "created_at < now() - make_interval(secs => $1)",
                keep,
            ),
        ] {
            // Names and conditions are those above, never input.
            let sql = format!(
                "delete from {table} where ctid = any(array(select ctid from {table} where {is_old} limit {PART}))"
            );
            db::execute(&connection, &sql, &[&age]).await?;
        }
        Ok(())
    }
}
