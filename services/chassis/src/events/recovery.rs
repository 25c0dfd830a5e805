//! Publishing again what the broker has acknowledged and lost: a power cut, a volume put back to an older state or replaced.
//!
//! A broker that loses events goes on counting where its remaining ones end. So each row of the outbox keeps the sequence
//! that was acknowledged, and an event is there exactly if the message of that sequence still carries its id. What is lost
//! is the end of what was published: the newest event is looked at, and if it is lost, the first lost one is searched for.
//! That holds as long as nothing is noted as published between the loss and this look, so the relay looks on each new connection
//! before it notes anything.
//!
//! A service may read its own events and those that it subscribes to. The API that shows the message of a sequence shows that of
//! anybody, so the look goes through a consumer with a filter on the service's own subjects, made anew for each sequence.

use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{ConsumerErrorKind, Stream};
use futures::StreamExt;
use time::OffsetDateTime;
use uuid::Uuid;

use super::broker::Broker;
use crate::application::SUBJECTS;
use crate::db::{self, Db, Transaction};

/// The consumer has one name, so one replica looks at a time; the number itself means nothing.
const LOCK: i64 = 0x4f55_5442;
/// How long a replica waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long the broker may take to show an event.
const ANSWER: Duration = Duration::from_secs(3);
/// The broker removes the consumer of a look that broke off.
const LOOK_ENDED: Duration = Duration::from_secs(30);
/// Rows in one statement. A week of events in one would not end within its time.
const PART: i64 = 2_000;

/// How full the stream is, in bytes.
pub(crate) struct Fullness {
    pub(crate) bytes: i64,
    pub(crate) max_bytes: i64,
}

/// Looks whether the broker still has what it has acknowledged, and lets the relay publish again what it lost.
pub(crate) async fn recover(db: &Db, broker: &Broker) -> anyhow::Result<Fullness> {
    let mut stream = broker
        .stream()
        .await
        .context("the broker does not answer")?;
    let info = stream.info().await?;
    let created = info.created;
    let fullness = Fullness {
        bytes: i64::try_from(info.state.bytes).unwrap_or(i64::MAX),
        max_bytes: info.config.max_bytes,
    };
    let mut own = OwnEvents {
        stream: &mut stream,
        service: broker.service,
    };
    let lost = match first_lost(db, &mut own).await? {
        Some(sequence) => publish_again(db, Lost::FromSequence(sequence)).await?,
        None => 0,
    };
    let lost = lost + publish_again(db, Lost::WithStreamBefore(created)).await?;
    if lost > 0 {
        tracing::warn!(
            events = lost,
            "the broker lost events; they are published again"
        );
    }
    Ok(fullness)
}

/// The lowest acknowledged sequence whose event is lost. Waits for another replica that looks.
async fn first_lost(db: &Db, own: &mut OwnEvents<'_>) -> anyhow::Result<Option<i64>> {
    let until = Instant::now() + TURN;
    loop {
        if let Looked::Found(lost) = look(db, own).await? {
            return Ok(lost);
        }
        anyhow::ensure!(
            Instant::now() < until,
            "another replica looks for what the broker lost, and does not come to an end"
        );
        tokio::time::sleep(TURN / 100).await;
    }
}

enum Looked {
    /// Another replica is at it.
    Busy,
    /// The lowest sequence that is lost, if any.
    Found(Option<i64>),
}

async fn look(db: &Db, own: &mut OwnEvents<'_>) -> anyhow::Result<Looked> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let locked = db::query_one(&tx, "select pg_try_advisory_xact_lock($1)", &[&LOCK]).await?;
    if !locked.get::<_, bool>(0) {
        return Ok(Looked::Busy);
    }
    let Some(newest) = newest_published(&tx, 0, i64::MAX).await? else {
        return Ok(Looked::Found(None));
    };
    if own.has(&newest).await? {
        return Ok(Looked::Found(None));
    }
    // Everything up to `there` is there, and `lost` is not.
    let (mut there, mut lost) = (0, newest.sequence);
    while lost - there > 1 {
        let middle = there + (lost - there) / 2;
        match newest_published(&tx, there, middle).await? {
            None => there = middle,
            Some(event) if own.has(&event).await? => there = middle,
            Some(event) => lost = event.sequence,
        }
    }
    // Fails where the transaction has ended meanwhile, and with it the lock: then another may have used the consumer.
    tx.commit().await?;
    Ok(Looked::Found(Some(lost)))
}

/// A published event, and where the broker has put it.
struct Published {
    id: Uuid,
    sequence: i64,
}

/// The newest event with a sequence above `after` and not above `up_to`.
async fn newest_published(
    tx: &Transaction<'_>,
    after: i64,
    up_to: i64,
) -> Result<Option<Published>, db::Error> {
    let row = db::query_opt(
        tx,
        "select id, stream_sequence from outbox
         where published_at is not null and stream_sequence > $1 and stream_sequence <= $2
         order by stream_sequence desc limit 1",
        &[&after, &up_to],
    )
    .await?;
    Ok(row.map(|row| Published {
        id: row.get("id"),
        sequence: row.get("stream_sequence"),
    }))
}

/// The service's own events in the stream.
struct OwnEvents<'a> {
    stream: &'a mut Stream,
    service: &'static str,
}

impl OwnEvents<'_> {
    /// Whether the broker has the event. One that the stream let go because of its limits counts as there: it was not lost.
    ///
    /// # Errors
    /// The broker does not answer, or gives what this look has not asked for. Only what it shows says that an event is lost.
    async fn has(&mut self, event: &Published) -> anyhow::Result<bool> {
        let sequence = u64::try_from(event.sequence).context("a sequence below zero")?;
        let consumer = self.starting_at(sequence).await?;
        if consumer.cached_info().num_pending == 0 {
            return self.was_let_go(sequence).await;
        }
        let first = async {
            let mut messages = consumer.fetch().max_messages(1).messages().await?;
            messages
                .next()
                .await
                .transpose()
                .map_err(anyhow::Error::msg)
        };
        // A request that is lost with its connection is answered by nobody.
        let first = tokio::time::timeout(ANSWER, first).await;
        let first = first.context("the broker does not show an event")??;
        let message = first.context("the broker does not show an event that it has")?;
        let found = message.info().map_err(anyhow::Error::msg)?;
        anyhow::ensure!(
            found.consumer_sequence == 1 && found.stream_sequence >= sequence,
            "somebody else uses the consumer of the look"
        );
        if found.stream_sequence > sequence {
            return self.was_let_go(sequence).await;
        }
        let id = message
            .headers
            .as_ref()
            .and_then(|h| h.get(NATS_MESSAGE_ID));
        Ok(id.is_some_and(|id| id.as_str() == event.id.to_string()))
    }

    async fn was_let_go(&mut self, sequence: u64) -> anyhow::Result<bool> {
        Ok(sequence < self.stream.info().await?.state.first_sequence)
    }

    /// A consumer cannot be moved, so it is made anew.
    async fn starting_at(&self, sequence: u64) -> anyhow::Result<PullConsumer> {
        let name = format!("{}-outbox", self.service);
        match self.stream.delete_consumer(&name).await {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ConsumerErrorKind::JetStream(e) if e.error_code() == ErrorCode::CONSUMER_NOT_FOUND) =>
                {}
            Err(error) => {
                return Err(error).context("the broker keeps the consumer of an older look");
            }
        }
        self.stream
            .create_consumer(pull::Config {
                name: Some(name),
                filter_subject: format!("{SUBJECTS}.{}.>", self.service),
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: sequence,
                },
                ack_policy: AckPolicy::None,
                headers_only: true,
                inactive_threshold: LOOK_ENDED,
                ..Default::default()
            })
            .await
            .context("the broker does not take the consumer of a look")
    }
}

/// What is lost.
enum Lost {
    /// What was acknowledged with this sequence or a higher one.
    FromSequence(i64),
    /// What the previous version, which kept no sequence, has published before the stream was made.
    WithStreamBefore(OffsetDateTime),
}

const FROM_SEQUENCE: &str = "
    update outbox set published_at = null where id in (
        select id from outbox where id > $1 and published_at is not null and stream_sequence >= $2
        order by id limit $3 for update)
    returning id";
const WITH_STREAM_BEFORE: &str = "
    update outbox set published_at = null where id in (
        select id from outbox where id > $1 and stream_sequence is null and published_at < $2
        order by id limit $3 for update)
    returning id";

/// Marks rows as not published, each once: those that the relay publishes again meanwhile have new sequences. Whoever finds
/// another replica at it waits, and goes on only when all are marked.
async fn publish_again(db: &Db, lost: Lost) -> Result<u64, db::Error> {
    let (sql, from): (_, &(dyn db::ToSql + Sync)) = match &lost {
        Lost::FromSequence(sequence) => (FROM_SEQUENCE, sequence),
        Lost::WithStreamBefore(created) => (WITH_STREAM_BEFORE, created),
    };
    let connection = db.get().await?;
    let (mut after, mut marked) = (Uuid::nil(), 0);
    loop {
        let rows = db::query(&connection, sql, &[&after, from, &PART]).await?;
        let Some(last) = rows.iter().map(|row| row.get("id")).max() else {
            return Ok(marked);
        };
        after = last;
        marked += rows.len() as u64;
    }
}
