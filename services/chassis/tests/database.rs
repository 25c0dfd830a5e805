//! A database that is busy, one that is absent, and one whose schema is behind: three things with three answers.

mod notes;

use std::time::{Duration, Instant};

use chassis::db;
use chassis::testing::{self, Backends, TestService, eventually, look};
use futures::future::join_all;
use notes::{HEARD, Notes};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// What a statement or a lock of these tests lasts: longer than the two seconds after which a server is absent.
const BUSY: Duration = Duration::from_secs(3);
/// An absent database is noticed at once or after two seconds of silence. Beside a load on all cores that may take longer,
/// but never as long as a busy one is waited for.
const AT_ONCE: Duration = Duration::from_secs(9);

fn note(service: &TestService, key: &str, text: &str) -> RequestBuilder {
    let request = service.http.post(service.at("/notes"));
    request
        .header("idempotency-key", key)
        .json(&json!({ "text": text }))
}

/// Status, code of the problem, and whether the client is told when to come back.
async fn answer(request: RequestBuilder) -> (u16, String, bool) {
    let response = request.send().await.expect("an answer");
    let comes_back = response.headers().contains_key("retry-after");
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    (status, code, comes_back)
}

fn created() -> (u16, String, bool) {
    (201, String::new(), false)
}

fn refused(code: &str) -> (u16, String, bool) {
    (503, code.to_owned(), true)
}

/// A transaction that writes the note "milk", for which every other one that does must wait.
async fn lock_milk(connection: &mut db::Connection) -> db::Transaction<'_> {
    let patient = "set idle_in_transaction_session_timeout = 0";
    connection.batch_execute(patient).await.unwrap();
    let holder = db::transaction(connection).await.unwrap();
    let sql = "insert into notes (id, text) values (gen_random_uuid(), 'milk')";
    db::execute(&holder, sql, &[]).await.unwrap();
    holder
}

/// Waits until so many statements of the service are at work that contain `part`.
async fn at_work(backends: &Backends, count: i64, part: &str) {
    eventually(&format!("{count} statements with {part} are at work"), || async {
        let sql = "select count(*) from pg_stat_activity
                   where datname = current_database() and application_name = 'notes' and state = 'active'
                     and query like '%' || $1 || '%'";
        let rows = look(&backends.direct_db(), sql, &[&part]).await;
        (rows[0].get::<_, i64>(0) == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_busy_pool_is_waited_for() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let slow = format!("/slow-statement?ms={}", BUSY.as_millis());
    let slow = join_all((0..8).map(|_| service.http.get(service.at(&slow)).send()));
    let meanwhile = async {
        at_work(&backends, 8, "pg_sleep").await;
        answer(note(&service, "k", "milk")).await
    };
    let (slow, meanwhile) = futures::join!(slow, meanwhile);
    assert_eq!(meanwhile, created());
    assert!(slow.iter().all(|a| a.as_ref().unwrap().status() == 200));
    service.stop().await;
}

#[tokio::test]
async fn a_lock_that_somebody_holds_for_seconds_is_waited_for() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let mut connection = backends.direct_db().get().await.unwrap();
    let holder = lock_milk(&mut connection).await;
    let held_up = note(&service, "k", "milk");
    let release = async {
        at_work(&backends, 1, "insert into notes").await;
        db::execute(&holder, "select pg_sleep($1)", &[&BUSY.as_secs_f64()])
            .await
            .unwrap();
        holder.rollback().await.unwrap();
    };
    let (held_up, ()) = futures::join!(answer(held_up), release);
    assert_eq!(held_up, created());
    service.stop().await;
}

#[tokio::test]
async fn a_server_that_has_no_connection_left_is_waited_for() {
    let backends = Backends::new().await;
    testing::migrate::<Notes>(&backends).await;
    let role = format!("few_{}", uuid::Uuid::now_v7().simple());
    run(
        &backends,
        &format!(
            "create role {role} login password 'few' connection limit 2; grant all on all tables in schema public to {role}"
        ),
    )
    .await;
    let mut url: url::Url = backends.database_url().parse().unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("few")).unwrap();
    let settings = [("DATABASE_URL", url.as_str())];
    let service = testing::start_unmigrated::<Notes>(&backends, &settings).await;
    service.ready().await;
    let texts: Vec<_> = (0..20).map(|n| format!("note-{n}")).collect();
    let answers = join_all(texts.iter().map(|text| answer(note(&service, text, text)))).await;
    assert!(answers.iter().all(|a| *a == created()), "{answers:?}");
    service.stop().await;
}

#[tokio::test]
async fn whoever_has_less_time_is_told_so_in_time_and_leaves_no_statement_behind() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let mut connection = backends.direct_db().get().await.unwrap();
    let holder = lock_milk(&mut connection).await;
    let started = Instant::now();
    let hurried = note(&service, "k", "milk").header("x-deadline-ms", "2000");
    let (status, _, comes_back) = answer(hurried).await;
    // Which of the two it is depends on whether the answer is ready before the time is over.
    assert!([503, 504].contains(&status) && comes_back, "{status}");
    at_work(&backends, 0, "insert into notes").await;
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    holder.rollback().await.unwrap();
    assert_eq!(answer(note(&service, "k", "milk")).await, created());
    service.stop().await;
}

#[tokio::test]
async fn an_absent_database_is_answered_at_once_however_long_the_caller_waits() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    backends.database_proxy.cut();
    let started = Instant::now();
    let texts: Vec<_> = (0..40).map(|n| format!("note-{n}")).collect();
    let answers = join_all(texts.iter().map(|text| answer(note(&service, text, text)))).await;
    assert!(
        answers.iter().all(|a| *a == refused("unavailable")),
        "{answers:?}"
    );
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    service.stop().await;
}

#[tokio::test]
async fn the_smallest_number_of_connections_is_enough() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[("DATABASE_MAX_CONNECTIONS", "2")]).await;
    let texts: Vec<_> = (0..20).map(|n| format!("note-{n}")).collect();
    let answers = join_all(texts.iter().map(|text| answer(note(&service, text, text)))).await;
    assert!(answers.iter().all(|a| *a == created()), "{answers:?}");
    assert!(backends.connections().await <= 2);
    service.stop().await;
}

async fn readiness(service: &TestService) -> (StatusCode, String) {
    let answer = service.http.get(service.admin_at("/readyz")).send().await;
    let answer = answer.expect("an answer");
    (answer.status(), answer.text().await.expect("a text"))
}

const REPLACED: &str = "drop schema public cascade; create schema public";
const NOTHING_THERE: &str = "the schema of the database is behind: version 0 found, 1 needed";

async fn run(backends: &Backends, sql: &str) {
    let connection = backends.direct_db().get().await.unwrap();
    connection.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn before_the_migration_it_waits_and_says_for_what() {
    let backends = Backends::new().await;
    let service = testing::start_unmigrated::<Notes>(&backends, &[]).await;
    eventually("it says what it waits for", || async {
        let (status, text) = readiness(&service).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        text.contains(NOTHING_THERE).then_some(())
    })
    .await;
    assert_eq!(
        answer(note(&service, "k", "milk")).await,
        refused("schema_behind")
    );
    testing::migrate::<Notes>(&backends).await;
    service.ready().await;
    service.stop().await;
}

#[tokio::test]
async fn a_database_that_was_replaced_by_an_empty_one_ends_the_process() {
    let backends = Backends::new().await;
    let mut service = testing::start::<Notes>(&backends, &[]).await;
    run(&backends, REPLACED).await;
    let started = Instant::now();
    assert_eq!(
        answer(note(&service, "k", "milk")).await,
        refused("schema_behind")
    );
    let (status, text) = readiness(&service).await;
    assert_eq!((status.as_u16(), text.as_str()), (503, NOTHING_THERE));
    assert_eq!(service.outdated().await, NOTHING_THERE);
    assert!(started.elapsed() >= Duration::from_secs(3), "seen twice");
    service.stop().await;
}

#[tokio::test]
async fn an_older_dump_is_noticed_without_a_request_and_one_that_is_ahead_is_fine() {
    let backends = Backends::new().await;
    let mut service = testing::start::<Notes>(&backends, &[]).await;
    let ahead = "insert into refinery_schema_history (version, name, applied_on, checksum) values (7, 'later', '', '1')";
    run(&backends, ahead).await;
    let next = testing::start_unmigrated::<Notes>(&backends, &[]).await;
    next.ready().await;
    next.stop().await;
    run(&backends, "delete from refinery_schema_history").await;
    assert_eq!(service.outdated().await, NOTHING_THERE);
    service.stop().await;
}

#[tokio::test]
async fn a_mistake_in_a_statement_is_not_blamed_on_the_schema() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let misspelt = service.http.get(service.at("/misspelt"));
    assert_eq!(answer(misspelt).await, (500, "internal".to_owned(), false));
    assert_eq!(readiness(&service).await.0, StatusCode::OK);
    service.stop().await;
}

#[tokio::test]
async fn an_event_waits_for_the_migration_and_is_not_given_up() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    run(
        &backends,
        "alter table heard rename to away; delete from refinery_schema_history",
    )
    .await;
    backends.say(HEARD, "a", 1, json!({ "when": "now" })).await;
    // More than the ten tries after which an event that is refused is dead would take a quarter of a minute.
    service.until_heard(HEARD, 2).await;
    let failed = "select count(*) from failed_events";
    assert_eq!(
        look(&backends.direct_db(), failed, &[]).await[0].get::<_, i64>(0),
        0
    );
    run(
        &backends,
        "alter table away rename to heard;
         insert into refinery_schema_history (version, name, applied_on, checksum) values (1, 'notes', '', '1')",
    )
    .await;
    eventually("the event is applied", || async {
        let rows = look(
            &backends.direct_db(),
            "select from heard where aggregate = 'a'",
            &[],
        )
        .await;
        (rows.len() == 1).then_some(())
    })
    .await;
    service.stop().await;
}

/// The server decides how it is asked for the password; who reads the link must not get it.
#[tokio::test]
async fn a_password_is_given_by_scram_and_in_no_other_way() {
    let backends = Backends::new().await;
    let admin = backends.direct_db().get().await.expect("a connection");
    for (method, stored) in [("clear", "scram-sha-256"), ("md5", "md5")] {
        let role = format!("{method}_{}", uuid::Uuid::now_v7().simple());
        let sql = format!(
            "set password_encryption = '{stored}'; create role {role} login password 'secret'; reset password_encryption"
        );
        admin.batch_execute(&sql).await.expect("a role");
        let error = backends.direct_db_as(&role, "secret").get().await.err();
        let told = error.expect("refused").to_string();
        assert!(told.contains("given by SCRAM alone"), "{told}");
    }
}
