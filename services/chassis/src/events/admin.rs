//! The administration port's view of events that were not applied: list, read, try again, discard.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use garde::Validate;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::Instrument;
use uuid::Uuid;

use super::handler::Received;
use super::inbox;
use super::processor::{Attempt, Processor, span_of_replay};
use super::unapplied::Reason;
use crate::db;
use crate::http::{Path, Problem, Query};

/// An event that was not applied.
#[derive(Debug, Serialize)]
struct Unapplied {
    id: Uuid,
    subject: String,
    /// How often it has failed.
    attempts: i32,
    cause: String,
    #[serde(with = "time::serde::rfc3339")]
    first_at: OffsetDateTime,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    dead_at: Option<OffsetDateTime>,
    /// Of parked ones: what for, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    expires_at: Option<OffsetDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// What an event that was not applied is read from.
const COLUMNS: &str =
    "id, subject, attempts, cause, first_at, dead_at, waits_for, expires_at, payload";

impl Unapplied {
    fn of(row: &db::Row, with_payload: bool) -> Self {
        Self {
            id: row.get("id"),
            subject: row.get("subject"),
            attempts: row.get("attempts"),
            cause: row.get("cause"),
            first_at: row.get("first_at"),
            dead_at: row.get("dead_at"),
            waits_for: row.get("waits_for"),
            expires_at: row.get("expires_at"),
            payload: with_payload.then(|| row.get("payload")),
        }
    }
}

/// Which part of a list.
#[derive(Debug, Deserialize, Validate)]
struct Page {
    /// The last one of the page before; without it the list begins with the highest id.
    #[garde(skip)]
    after: Option<Uuid>,
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 1000))]
    limit: u16,
}

fn default_limit() -> u16 {
    100
}

type Admin = Arc<Processor>;

/// `/dead-letters` and `/parked-events`.
pub(crate) fn routes(processor: Admin) -> Router {
    Router::new()
        .route("/dead-letters", get(list_dead))
        .route("/dead-letters/{id}", get(read).delete(discard))
        .route("/dead-letters/{id}/retry", post(retry))
        .route("/parked-events", get(list_parked))
        .with_state(processor)
}

async fn list_dead(
    State(admin): State<Admin>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Unapplied>>, Problem> {
    list(&admin, "dead_at is not null", &page).await
}

async fn list_parked(
    State(admin): State<Admin>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Unapplied>>, Problem> {
    list(&admin, "dead_at is null and waits_for is not null", &page).await
}

/// In the order of their ids: the next page begins at its place also when what stood there is gone. Ids of events begin with
/// the time at which they happened; those of payloads that cannot be read do not.
async fn list(
    admin: &Processor,
    which: &str,
    page: &Page,
) -> Result<Json<Vec<Unapplied>>, Problem> {
    let connection = admin.db.get().await?;
    // The condition is one of those above, never input.
    let sql = format!(
        "select {COLUMNS} from failed_events where {which} and ($1::uuid is null or id < $1) order by id desc limit $2"
    );
    let limit = i64::from(page.limit);
    let rows = db::query(&connection, &sql, &[&page.after, &limit]).await?;
    Ok(Json(
        rows.iter().map(|row| Unapplied::of(row, false)).collect(),
    ))
}

async fn read(
    State(admin): State<Admin>,
    Path(id): Path<Uuid>,
) -> Result<Json<Unapplied>, Problem> {
    Ok(Json(find(&admin, id).await?))
}

/// Forgets the event for good: should the broker deliver it again, it counts as applied.
async fn discard(State(admin): State<Admin>, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    let mut connection = admin.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    // In the order in which whoever applies it takes both.
    inbox::enter(&tx, id).await?;
    let sql = "delete from failed_events where id = $1 and dead_at is not null";
    if db::execute(&tx, sql, &[&id]).await? == 0 {
        return Err(no_such_letter());
    }
    tx.commit().await?;
    tracing::warn!(event_id = %id, "a dead letter was discarded");
    Ok(StatusCode::NO_CONTENT)
}

/// Applies the event here and now, past the broker, and removes it when that succeeds.
async fn retry(
    State(admin): State<Admin>,
    Path(id): Path<Uuid>,
) -> Result<Json<serde_json::Value>, Problem> {
    let letter = find(&admin, id).await?;
    let payload = letter.payload.unwrap_or_default();
    let event = Received::parse(&letter.subject, payload.as_bytes())
        .map_err(|cause| Problem::conflict("still_broken", cause))?;
    let span = span_of_replay(&event);
    match admin.attempt(&event).instrument(span).await? {
        Attempt::Applied | Attempt::Duplicate => Ok(Json(serde_json::json!({ "applied": id }))),
        Attempt::NotApplied(
            Reason::Parked { cause, .. } | Reason::Failed { cause } | Reason::Dead { cause },
        ) => Err(Problem::conflict("still_broken", cause)),
    }
}

async fn find(admin: &Processor, id: Uuid) -> Result<Unapplied, Problem> {
    db::query_opt(
        &admin.db.get().await?,
        &format!("select {COLUMNS} from failed_events where id = $1 and dead_at is not null"),
        &[&id],
    )
    .await?
    .map(|row| Unapplied::of(&row, true))
    .ok_or_else(no_such_letter)
}

fn no_such_letter() -> Problem {
    Problem::not_found("There is no dead letter of this id.")
}
