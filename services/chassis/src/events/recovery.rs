//! Publishing again what the broker has acknowledged and lost: a power cut, a volume put back to an older state or replaced.
//!
//! A broker that loses events goes on counting where its remaining ones end. So each row of the outbox keeps the sequence
//! that was acknowledged, and an event is there exactly if the message of that sequence still carries its id. What is lost
//! is the end of what was published: the newest event is looked at, and if it is lost, the first lost one is searched for.
//! That holds as long as nothing is noted as published between the loss and this look, so the relay looks on each new connection
//! before it notes anything.

use anyhow::Context;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use time::OffsetDateTime;
use uuid::Uuid;

use super::broker::Broker;
use crate::db::{self, Db};

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
    let lost = match first_lost(db, &mut stream).await? {
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

/// The lowest acknowledged sequence whose event is lost.
async fn first_lost(db: &Db, stream: &mut Stream) -> anyhow::Result<Option<i64>> {
    let Some(newest) = newest_published(db, 0, i64::MAX).await? else {
        return Ok(None);
    };
    if is_there(stream, &newest).await? {
        return Ok(None);
    }
    // Everything up to `there` is there, and `lost` is not.
    let (mut there, mut lost) = (0, newest.sequence);
    while lost - there > 1 {
        let middle = there + (lost - there) / 2;
        match newest_published(db, there, middle).await? {
            None => there = middle,
            Some(event) if is_there(stream, &event).await? => there = middle,
            Some(event) => lost = event.sequence,
        }
    }
    Ok(Some(lost))
}

/// A published event, and where the broker has put it.
struct Published {
    id: Uuid,
    sequence: i64,
}

/// The newest event with a sequence above `after` and not above `up_to`.
async fn newest_published(db: &Db, after: i64, up_to: i64) -> Result<Option<Published>, db::Error> {
    let row = db::query_opt(
        &db.get().await?,
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

/// Whether the broker has the event. One that the stream let go because of its limits counts as there: it was not lost.
async fn is_there(stream: &mut Stream, event: &Published) -> anyhow::Result<bool> {
    let sequence = u64::try_from(event.sequence).context("a sequence below zero")?;
    match stream.get_raw_message(sequence).await {
        Ok(message) => {
            let id = message.headers.get(NATS_MESSAGE_ID);
            Ok(id.is_some_and(|id| id.as_str() == event.id.to_string()))
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
            Ok(sequence < stream.info().await?.state.first_sequence)
        }
        Err(error) => Err(error).context("the broker does not show an event"),
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
