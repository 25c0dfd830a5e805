//! The story of each order.

use std::collections::HashMap;

use chassis::db::{self, Client, Row, Transaction};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::timeline::Entry;

/// More than an order ever has: steps that are tried for days are noted less and less often.
const MAX_ENTRIES: i64 = 1000;

/// What happened to an order, as it is read.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TimelineEntry {
    /// When it happened, by the clock of the service that did it.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// When orders wrote it down: for what another service did, when orders heard of it. Missing where it is not known.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    recorded_at: Option<OffsetDateTime>,
    /// Who did it, or failed to.
    #[schema(example = "payments")]
    service: String,
    #[schema(example = "authorise")]
    step: String,
    #[schema(
        example = "retrying",
        pattern = "^(done|failed|retrying|compensated|info)$"
    )]
    outcome: String,
    /// In plain words, for people.
    #[schema(example = "payments did not answer; attempt 3, next try in 4 s")]
    detail: String,
    /// Which attempt it was, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<i32>,
    /// The trace to look for in logs and traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
}

/// Adds what happened `at` that time. The database notes when it was told so.
pub(crate) async fn add(
    tx: &Transaction<'_>,
    order: Uuid,
    at: OffsetDateTime,
    trace_id: Option<&str>,
    entries: &[Entry],
) -> Result<(), db::Error> {
    for entry in entries {
        let attempt = entry.attempt.map(|n| i32::try_from(n).unwrap_or(i32::MAX));
        db::execute(
            tx,
            "insert into timeline (order_id, at, service, step, outcome, detail, attempt, trace_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &order,
                &at,
                &entry.service.into_str(),
                &entry.step,
                &entry.outcome.into_str(),
                &entry.detail,
                &attempt,
                &trace_id,
            ],
        )
        .await?;
    }
    Ok(())
}

/// The story in the order in which things happened, however late orders heard of them.
pub(crate) async fn of_order(
    client: &impl Client,
    order: Uuid,
) -> Result<Vec<TimelineEntry>, db::Error> {
    let rows = db::query(
        client,
        "select at, recorded_at, service, step, outcome, detail, attempt, trace_id
         from timeline where order_id = $1 order by at, id limit $2",
        &[&order, &MAX_ENTRIES],
    )
    .await?;
    Ok(rows.iter().map(entry).collect())
}

/// The stories of those of `orders` that are of `buyer`, or of all where none is named; of each at most so many of the latest entries.
pub(crate) async fn of_orders(
    client: &impl Client,
    orders: &[Uuid],
    buyer: Option<Uuid>,
    most: i64,
) -> Result<HashMap<Uuid, Vec<TimelineEntry>>, db::Error> {
    let rows = db::query(
        client,
        "select orders.id as order_id, place, at, recorded_at, service, step, outcome, detail, attempt, trace_id
         from orders
         left join lateral (
             select id as place, at, recorded_at, service, step, outcome, detail, attempt, trace_id
             from timeline where order_id = orders.id order by at desc, id desc limit $3
         ) as story on true
         where orders.id = any($1) and ($2::uuid is null or buyer_id = $2)
         order by orders.id, at, place",
        &[&orders, &buyer, &most],
    )
    .await?;
    let mut stories: HashMap<_, Vec<_>> = HashMap::new();
    for row in &rows {
        let story = stories.entry(row.get("order_id")).or_default();
        // Old stories are gone, their orders are not.
        if row.get::<_, Option<i64>>("place").is_some() {
            story.push(entry(row));
        }
    }
    Ok(stories)
}

fn entry(row: &Row) -> TimelineEntry {
    TimelineEntry {
        at: row.get("at"),
        recorded_at: row.get("recorded_at"),
        service: row.get("service"),
        step: row.get("step"),
        outcome: row.get("outcome"),
        detail: row.get("detail"),
        attempt: row.get("attempt"),
        trace_id: row.get("trace_id"),
    }
}

/// Deletes up to `limit` of the oldest entries, as far as they were written down before that moment.
pub(crate) async fn delete_before(
    client: &impl Client,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, db::Error> {
    db::execute(
        client,
        "delete from timeline where id in (
             select id from (select id, recorded_at, at from timeline order by id limit $2) as oldest
             where coalesce(recorded_at, at) < $1
         )",
        &[&before, &limit],
    )
    .await
}
