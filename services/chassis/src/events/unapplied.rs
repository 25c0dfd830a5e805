//! Events that were not applied: parked until something is known here, tried again after a failure, or dead. They are rows
//! of `failed_events`. Once an event is there, the broker need not know of it any more.

use std::time::Duration;

use uuid::Uuid;

use crate::db::{self, Client, Db, Transaction};

/// After so many failures an event is dead.
const ATTEMPTS: i32 = 10;
/// Bounds of the pause before the next try, which is as long as the event has been here: it doubles from try to try.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// What is asked for beyond it would be no time that PostgreSQL knows, and the event could not be kept.
const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why an event was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It waits for something, no longer than `at_most`.
    Parked {
        waits_for: String,
        at_most: Duration,
        cause: String,
    },
    /// It may be possible the next time.
    Failed { cause: String },
    /// It never will be.
    Dead { cause: String },
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Parked,
    Retried,
    Dead,
}

const KEEP: &str = "
    insert into failed_events as f
        (id, subject, payload, attempts, cause, waits_for, expires_at, due_at, dead_at)
    select $1::uuid, $2::text, $3::text, $4::integer, $5::text, $6::text,
        now() + make_interval(secs => $7), now() + make_interval(secs => $8), case when $9 then now() end
    where not exists (select from inbox where event_id = $1::uuid)
    on conflict (id) do update set
        attempts = f.attempts + excluded.attempts,
        cause = excluded.cause,
        last_at = now(),
        waits_for = excluded.waits_for,
        expires_at = coalesce(f.expires_at, excluded.expires_at),
        due_at = least(
            now() + greatest(make_interval(secs => $8), least(now() - f.first_at, make_interval(secs => $10))),
            case when excluded.waits_for is not null then coalesce(f.expires_at, excluded.expires_at) end),
        dead_at = coalesce(f.dead_at, case when excluded.dead_at is not null
            or f.attempts + excluded.attempts >= $11
            or (excluded.waits_for is not null and coalesce(f.expires_at, excluded.expires_at) <= now())
            then now() end)
    returning dead_at is not null as dead, waits_for is not null as parked";

/// Keeps the event with the reason, and says what becomes of it: none where it counts as applied by now, because it was
/// discarded. `id` is the event's, or one derived from the payload where there is none to read.
pub(crate) async fn keep(
    db: &Db,
    id: Uuid,
    subject: &str,
    payload: &str,
    reason: &Reason,
) -> Result<Option<State>, db::Error> {
    let (failures, waits_for, at_most, cause, dead) = match reason {
        Reason::Parked {
            waits_for,
            at_most,
            cause,
        } => (
            0,
            Some(waits_for),
            Some(at_most.min(&LONGEST_WAIT).as_secs_f64()),
            cause,
            false,
        ),
        Reason::Failed { cause } => (1, None, None, cause, false),
        Reason::Dead { cause } => (1, None, None, cause, true),
    };
    // PostgreSQL's text takes every character but this one.
    let (payload, cause) = (
        payload.replace('\0', "\u{fffd}"),
        cause.replace('\0', "\u{fffd}"),
    );
    let (shortest, longest) = (SHORTEST_PAUSE.as_secs_f64(), LONGEST_PAUSE.as_secs_f64());
    let row = db::query_opt(
        &db.get().await?,
        KEEP,
        &[
            &id, &subject, &payload, &failures, &cause, &waits_for, &at_most, &shortest, &dead,
            &longest, &ATTEMPTS,
        ],
    )
    .await?;
    Ok(row.map(|row| match (row.get("dead"), row.get("parked")) {
        (true, _) => State::Dead,
        (false, true) => State::Parked,
        (false, false) => State::Retried,
    }))
}

/// Forgets an event that was applied after all, within the transaction of its effect.
pub(crate) async fn forget(tx: &Transaction<'_>, id: Uuid) -> Result<(), db::Error> {
    db::execute(tx, "delete from failed_events where id = $1", &[&id]).await?;
    Ok(())
}

/// An event whose next try is due.
pub(crate) struct Due {
    pub(crate) id: Uuid,
    pub(crate) subject: String,
    pub(crate) payload: String,
}

/// Takes an event of `kinds` that is due, the longest due first. It is due again after `lease`, should nobody say what became
/// of it.
pub(crate) async fn take_due(
    db: &Db,
    kinds: &[&str],
    lease: Duration,
) -> Result<Option<Due>, db::Error> {
    let row = db::query_opt(
        &db.get().await?,
        "update failed_events set due_at = now() + make_interval(secs => $2) where id = (
             select id from failed_events where dead_at is null and due_at <= now() and subject = any($1)
             order by due_at, id limit 1 for update skip locked)
         returning id, subject, payload",
        &[&kinds, &lease.as_secs_f64()],
    )
    .await?;
    Ok(row.map(|row| Due {
        id: row.get("id"),
        subject: row.get("subject"),
        payload: row.get("payload"),
    }))
}

/// Makes due what waits for `waits_for`.
pub(crate) async fn release(tx: &Transaction<'_>, waits_for: &str) -> Result<(), db::Error> {
    db::execute(
        tx,
        "update failed_events set due_at = now() where waits_for = $1 and dead_at is null",
        &[&waits_for],
    )
    .await?;
    Ok(())
}

/// How many there are, for the metrics.
pub(crate) struct Counts {
    pub(crate) parked: i64,
    pub(crate) retried: i64,
    pub(crate) dead: i64,
}

pub(crate) async fn count(client: &impl Client) -> Result<Counts, db::Error> {
    let row = db::query_one(
        client,
        "select count(*) filter (where dead_at is null and waits_for is not null) as parked,
                count(*) filter (where dead_at is null and waits_for is null) as retried,
                count(*) filter (where dead_at is not null) as dead from failed_events",
        &[],
    )
    .await?;
    Ok(Counts {
        parked: row.get("parked"),
        retried: row.get("retried"),
        dead: row.get("dead"),
    })
}
