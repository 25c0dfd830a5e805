//! The smallest service that uses everything: notes are written once and published, and those of others are kept.

use std::time::Duration;

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::Response;
use chassis::auth::{Principal, Verifier};
use chassis::db::{self, Db, Transaction};
use chassis::http::{IdempotencyKey, Json, Problem, Query};
use chassis::idempotency::{self, Claim};
use chassis::testing::TestService;
use chassis::{
    Chassis, Env, Event, EventContract, Handler, Outcome, Received, Service, SettingError, inbox,
    outbox, parked,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub(crate) mod grpc;

mod embedded {
    refinery::embed_migrations!("tests/service/notes/migrations");
}

pub(crate) const SUBSCRIBED: &str = "shop.others.note.published.v1";
/// Only [`NotesNext`] subscribes to it.
pub(crate) const NEWS: &str = "shop.others.news.published.v1";
pub(crate) const WRITTEN: &str = "shop.notes.note.written.v1";

/// Writes a note, with its text as the key.
pub(crate) async fn write_note(service: &TestService, text: &str) {
    let request = service.http.post(service.at("/notes"));
    let request = request.header("idempotency-key", text);
    let answer = request.json(&serde_json::json!({ "text": text })).send();
    assert_eq!(answer.await.expect("an answer").status(), 201);
}

/// What `GET /locked` does, and any number of them at once.
const WAIT_FOR_LOCK: &str = "select pg_advisory_xact_lock_shared(1)";
/// Makes it wait until the session ends.
pub(crate) const LOCK: &str = "select pg_advisory_lock(1)";
pub(crate) const UNLOCK: &str = "select pg_advisory_unlock(1)";

pub(crate) struct Notes;

#[derive(Clone, FromRef)]
pub(crate) struct App {
    db: Db,
    verifier: Verifier,
}

impl Service for Notes {
    const NAME: &'static str = "notes";
    const VERSION: &'static str = "0.0.1";
    type Settings = url::Url;
    type State = App;

    fn settings(env: &Env) -> Result<Self::Settings, SettingError> {
        env.or("USERS_URL", "http://127.0.0.1:1".parse().unwrap())
    }

    fn migrations() -> refinery::Runner {
        embedded::migrations::runner()
    }

    fn routes() -> OpenApiRouter<App> {
        OpenApiRouter::new()
            .routes(routes!(write))
            .routes(routes!(slow))
            .routes(routes!(locked))
            .routes(routes!(misspelt))
            .routes(routes!(broken))
            .routes(routes!(large))
            .routes(routes!(me))
    }

    fn grpc(app: App) -> Option<chassis::grpc::Api> {
        Some(grpc::api(app.db))
    }

    fn events() -> Vec<EventContract> {
        vec![EventContract::of::<Written>()]
    }

    fn start(users: url::Url, chassis: &mut Chassis) -> anyhow::Result<App> {
        chassis.subscribe(PublishedHandler { kind: SUBSCRIBED });
        Ok(App {
            db: chassis.db(),
            verifier: chassis.verifier(users),
        })
    }
}

/// The next version of the same service: it subscribes to one kind more.
pub(crate) struct NotesNext;

impl Service for NotesNext {
    const NAME: &'static str = Notes::NAME;
    const VERSION: &'static str = "0.0.2";
    type Settings = url::Url;
    type State = App;

    fn settings(env: &Env) -> Result<Self::Settings, SettingError> {
        Notes::settings(env)
    }

    fn migrations() -> refinery::Runner {
        Notes::migrations()
    }

    fn routes() -> OpenApiRouter<App> {
        Notes::routes()
    }

    fn events() -> Vec<EventContract> {
        Notes::events()
    }

    fn start(users: url::Url, chassis: &mut Chassis) -> anyhow::Result<App> {
        chassis.subscribe(PublishedHandler { kind: NEWS });
        Notes::start(users, chassis)
    }
}

#[derive(Debug, Deserialize, Serialize, garde::Validate, ToSchema)]
struct Note {
    #[garde(length(chars, min = 1, max = 20))]
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct Written {
    text: String,
}

impl Event for Written {
    const SERVICE: &'static str = "notes";
    const NAME: &'static str = "note.written";

    fn examples() -> Vec<Self> {
        vec![Self {
            text: "milk".to_owned(),
        }]
    }
}

#[utoipa::path(post, path = "/notes", responses((status = 201)))]
async fn write(
    State(db): State<Db>,
    key: IdempotencyKey,
    Json(note): Json<Note>,
) -> Result<Response, Problem> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let ticket = match idempotency::claim(&tx, "notes", &key, &note).await? {
        Claim::Replay(answer) => return Ok(answer),
        Claim::New(ticket) => ticket,
    };
    let id = Uuid::now_v7();
    let inserted = db::execute(
        &tx,
        "insert into notes (id, text) values ($1, $2)",
        &[&id, &note.text],
    )
    .await;
    if let Err(error) = inserted {
        return Err(match error.constraint() {
            Some("notes_text_unique") => Problem::conflict("taken", "This note exists."),
            _ => error.into(),
        });
    }
    parked::release(&tx, &note.text).await?;
    outbox::add(&tx, &id.to_string(), 1, &Written { text: note.text }).await?;
    let answer = ticket
        .save(&tx, StatusCode::CREATED, &serde_json::json!({ "id": id }))
        .await?;
    tx.commit().await?;
    Ok(answer)
}

#[derive(Deserialize, garde::Validate)]
struct Pace {
    #[garde(skip)]
    ms: u32,
}

#[utoipa::path(get, path = "/slow", responses((status = 200)))]
async fn slow(Query(pace): Query<Pace>) {
    tokio::time::sleep(Duration::from_millis(pace.ms.into())).await;
}

/// Holds a connection for as long as a test holds the lock.
#[utoipa::path(get, path = "/locked", responses((status = 200)))]
async fn locked(State(db): State<Db>) -> Result<StatusCode, Problem> {
    db::query(&db.get().await?, WAIT_FOR_LOCK, &[]).await?;
    Ok(StatusCode::OK)
}

/// Names a column that no version has.
#[utoipa::path(get, path = "/misspelt", responses((status = 500)))]
async fn misspelt(State(db): State<Db>) -> Result<StatusCode, Problem> {
    db::query(&db.get().await?, "select txet from notes", &[]).await?;
    Ok(StatusCode::OK)
}

#[utoipa::path(get, path = "/broken", responses((status = 500)))]
async fn broken() -> String {
    panic!("a mistake")
}

#[utoipa::path(get, path = "/large", responses((status = 200)))]
async fn large() -> String {
    "milk and bread, ".repeat(3125)
}

#[utoipa::path(get, path = "/me", responses((status = 200)))]
async fn me(principal: Principal) -> Result<String, Problem> {
    principal.require_role("reader")?;
    Ok(principal.id.to_string())
}

#[derive(Deserialize)]
pub(crate) struct Published {
    /// "now", "after" with the name of a note that must be there first, "never", "refused" or "panic".
    when: String,
    #[serde(default)]
    note: String,
    /// How long an event waits for its note.
    #[serde(default)]
    at_most_s: u64,
}

/// Keeps what others published about a subject.
pub(crate) struct PublishedHandler {
    pub(crate) kind: &'static str,
}

impl Handler for PublishedHandler {
    type Data = Published;

    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        published: Published,
    ) -> Result<Outcome, db::Error> {
        match published.when.as_str() {
            "never" => return Ok(Outcome::dead("never is never")),
            "panic" => panic!("a mistake in the handler"),
            "refused" => {
                db::execute(tx, "insert into notes (id, text) values (null, null)", &[]).await?;
            }
            "after" => {
                let sql = "select 1 from notes where text = $1";
                if db::query_opt(tx, sql, &[&published.note]).await?.is_none() {
                    let at_most = Duration::from_secs(published.at_most_s);
                    return Ok(Outcome::park(
                        published.note,
                        at_most,
                        "the note is not there",
                    ));
                }
            }
            _ => {}
        }
        if !inbox::accept_latest(tx, event).await? {
            return Ok(Outcome::Done);
        }
        db::execute(
            tx,
            "insert into received as r (aggregate, sequence) values ($1, $2)
             on conflict (aggregate) do update set times = r.times + 1, sequence = excluded.sequence",
            &[&event.aggregate, &event.sequence],
        )
        .await?;
        Ok(Outcome::Done)
    }
}
