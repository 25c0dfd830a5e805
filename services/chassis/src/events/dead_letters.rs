//! Events that could not be applied: kept with their cause, listed, read, and tried again by a person's word.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::consumer::{self, Consumption, DynHandler};
use super::handler::Received;
use crate::db::{self, Db};
use crate::http::{Path, Problem};

/// After so many failures an event is dead.
const ATTEMPTS: i32 = 10;

/// Remembers a failure and says whether the event is dead now. `id` is the event's, or one derived from the payload
/// where there is none to read.
pub(crate) async fn remember(
    db: &Db,
    id: Uuid,
    subject: &str,
    payload: &str,
    cause: &str,
    finally: bool,
) -> Result<bool, db::Error> {
    // PostgreSQL's text takes every character but this one.
    let (payload, cause) = (
        payload.replace('\0', "\u{fffd}"),
        cause.replace('\0', "\u{fffd}"),
    );
    let connection = db.get().await?;
    let row = db::query_one(
        &connection,
        "insert into failed_events as f (id, subject, payload, attempts, cause, dead_at)
         values ($1, $2, $3, 1, $4, case when $5 then now() end)
         on conflict (id) do update set attempts = f.attempts + 1, cause = excluded.cause, last_at = now(),
             dead_at = case when $5 or f.attempts + 1 >= $6 then coalesce(f.dead_at, now()) end
         returning dead_at is not null",
        &[&id, &subject, &payload, &cause, &finally, &ATTEMPTS],
    )
    .await?;
    Ok(row.get(0))
}

/// Forgets the failures of an event that was applied after all, within the transaction of its effect.
pub(crate) async fn forget(tx: &db::Transaction<'_>, id: Uuid) -> Result<(), db::Error> {
    db::execute(tx, "delete from failed_events where id = $1", &[&id]).await?;
    Ok(())
}

/// How many are dead, for the metric.
pub(crate) async fn count(connection: &db::Connection) -> Result<i64, db::Error> {
    let row = db::query_one(
        connection,
        "select count(*) from failed_events where dead_at is not null",
        &[],
    )
    .await?;
    Ok(row.get(0))
}

/// A dead event.
#[derive(Debug, Serialize)]
struct DeadLetter {
    id: Uuid,
    subject: String,
    attempts: i32,
    cause: String,
    #[serde(with = "time::serde::rfc3339")]
    first_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    dead_at: Option<OffsetDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

impl DeadLetter {
    fn of(row: &db::Row, with_payload: bool) -> Self {
        Self {
            id: row.get("id"),
            subject: row.get("subject"),
            attempts: row.get("attempts"),
            cause: row.get("cause"),
            first_at: row.get("first_at"),
            dead_at: row.get("dead_at"),
            payload: with_payload.then(|| row.get("payload")),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) db: Db,
    pub(crate) handler: Option<std::sync::Arc<dyn DynHandler>>,
}

/// The desk on the administration port: list the newest 100, read one, try one again.
pub(crate) fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/{id}", get(read))
        .route("/dead-letters/{id}/retry", post(retry))
        .with_state(desk)
}

async fn list(State(desk): State<Desk>) -> Result<Json<Vec<DeadLetter>>, Problem> {
    let connection = desk.db.get().await?;
    let rows = db::query(
        &connection,
        "select * from failed_events where dead_at is not null order by dead_at desc limit 100",
        &[],
    )
    .await?;
    Ok(Json(
        rows.iter().map(|r| DeadLetter::of(r, false)).collect(),
    ))
}

async fn read(State(desk): State<Desk>, Path(id): Path<Uuid>) -> Result<Json<DeadLetter>, Problem> {
    Ok(Json(find(&desk.db, id).await?))
}

/// Applies the event here and now, past the broker, and removes it when that succeeds.
async fn retry(
    State(desk): State<Desk>,
    Path(id): Path<Uuid>,
) -> Result<Json<serde_json::Value>, Problem> {
    let letter = find(&desk.db, id).await?;
    let handler = desk
        .handler
        .ok_or_else(|| Problem::not_found("This service hears no events."))?;
    let payload = letter.payload.unwrap_or_default();
    let event = Received::parse(payload.as_bytes())
        .map_err(|cause| Problem::conflict("still_broken", cause))?;
    match consumer::apply(&desk.db, handler.as_ref(), &event).await? {
        Consumption::Applied | Consumption::Duplicate => {
            Ok(Json(serde_json::json!({ "applied": id })))
        }
        Consumption::Retry { cause, .. } | Consumption::Dead { cause } => {
            Err(Problem::conflict("still_broken", cause))
        }
    }
}

async fn find(db: &Db, id: Uuid) -> Result<DeadLetter, Problem> {
    let connection = db.get().await?;
    db::query_opt(
        &connection,
        "select * from failed_events where id = $1 and dead_at is not null",
        &[&id],
    )
    .await?
    .map(|row| DeadLetter::of(&row, true))
    .ok_or_else(|| Problem::not_found("There is no dead letter of this id."))
}
