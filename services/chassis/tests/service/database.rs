//! A database that is busy, one that is absent, and one whose schema is behind: three things with three answers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chassis::testing::{self, Backends, TestService, eventually, look};
use chassis::{db, deadline};
use futures::future::join_all;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::front::{Front, Manner};
use crate::notes::{LOCK, Notes, SUBSCRIBED, UNLOCK};

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

/// The time of a test, which is longer than that of work without a caller.
async fn patiently<T>(work: impl Future<Output = T>) -> T {
    deadline::within(Instant::now() + Duration::from_secs(60), work).await
}

/// A transaction that writes the note "milk", for which every other one that does must wait.
async fn lock_milk(connection: &mut db::Connection) -> db::Transaction<'_> {
    let patient = "set idle_in_transaction_session_timeout = 0";
    connection.batch_execute(patient).await.unwrap();
    let holder = patiently(db::transaction(connection)).await.unwrap();
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

fn locked(service: &TestService) -> RequestBuilder {
    service.http.get(service.at("/locked"))
}

/// Holds up all requests to `/locked` until it is dropped.
async fn lock(backends: &Backends) -> db::Connection {
    let holder = backends.direct_db().get().await.unwrap();
    holder.batch_execute(LOCK).await.unwrap();
    holder
}

#[tokio::test]
async fn a_busy_pool_is_waited_for() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let holder = lock(&backends).await;
    let all = join_all((0..8).map(|_| locked(&service).send()));
    let release = async {
        at_work(&backends, 8, "pg_advisory").await;
        tokio::time::sleep(BUSY).await;
        holder.batch_execute(UNLOCK).await.unwrap();
    };
    let meanwhile = async {
        at_work(&backends, 8, "pg_advisory").await;
        answer(note(&service, "k", "milk")).await
    };
    let (all, (), meanwhile) = futures::join!(all, release, meanwhile);
    assert_eq!(meanwhile, created());
    assert!(all.iter().all(|a| a.as_ref().unwrap().status() == 200));
    service.stop().await;
}

#[tokio::test]
async fn a_later_migration_disturbs_no_statement_that_is_kept() {
    let backends = Backends::new().await;
    let few = [("DATABASE_MAX_CONNECTIONS", "2")];
    let service = testing::start::<Notes>(&backends, &few).await;
    let sql = "insert into failed_events (id, subject, payload, attempts, cause, dead_at)
               values (gen_random_uuid(), 'shop.a.b.c.v1', '{}', 20, 'no reason', now()) returning id";
    let id: uuid::Uuid = look(&backends.direct_db(), sql, &[]).await[0].get("id");
    let letters = || async {
        let mut read = Vec::new();
        for path in ["/dead-letters".to_owned(), format!("/dead-letters/{id}")] {
            let answer = service.http.get(service.admin_at(&path)).send().await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            read.push(answer.json::<Value>().await.expect("JSON"));
        }
        read
    };
    // Often enough that every connection of the pool has kept the statements.
    for _ in 0..4 {
        letters().await;
    }
    let before = letters().await;
    backends.widen_tables().await;
    assert_eq!(letters().await, before);
    assert_eq!(before[0][0]["cause"], "no reason");
    assert_eq!(answer(note(&service, "k", "milk")).await, created());
    service.stop().await;
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_no_statement_behind() {
    let backends = Backends::new().await;
    let few = [("DATABASE_MAX_CONNECTIONS", "2")];
    let service = testing::start::<Notes>(&backends, &few).await;
    let _holder = lock(&backends).await;
    let started = Instant::now();
    // Once the caller is gone, once its time is over.
    let gone = [(); 2].map(|()| tokio::spawn(locked(&service).send()));
    at_work(&backends, 2, "pg_advisory").await;
    gone.iter().for_each(|request| request.abort());
    at_work(&backends, 0, "pg_advisory").await;
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    let started = Instant::now();
    let late = [(); 2].map(|()| answer(locked(&service).header("x-deadline-ms", "1000")));
    for (status, _, _) in join_all(late).await {
        assert!([503, 504].contains(&status), "{status}");
    }
    assert_eq!(answer(note(&service, "k", "milk")).await, created());
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    at_work(&backends, 0, "pg_advisory").await;
    assert!(backends.connections().await <= 2);
    service.stop().await;
}

#[tokio::test]
async fn a_transaction_without_a_caller_has_its_time_for_all_its_statements_together() {
    let backends = Backends::new().await;
    let mut connection = backends.direct_db().get().await.unwrap();
    let tx = db::transaction(&mut connection).await.unwrap();
    let sleep = "select pg_sleep($1)";
    db::query(&tx, sleep, &[&1.0_f64]).await.unwrap();
    let error = db::query(&tx, sleep, &[&60.0_f64]).await.unwrap_err();
    let told = error.to_string();
    let waited = told.split_once("no result within ").expect(&told).1;
    let waited: u128 = waited.trim_end_matches(" ms").parse().unwrap();
    let most = db::WITHOUT_CALLER - Duration::from_secs(1);
    assert!(waited <= most.as_millis(), "{told}");
    drop(tx);
    drop(connection);
    eventually("the statement has ended", || async {
        let sql = "select from pg_stat_activity
                   where datname = current_database() and state = 'active' and query like '%pg\\_sleep%'
                     and pid <> pg_backend_pid()";
        let rows = look(&backends.direct_db(), sql, &[]).await;
        rows.is_empty().then_some(())
    })
    .await;
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
        tokio::time::sleep(BUSY).await;
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

/// A service whose connections go through a [`Front`].
async fn behind_a_front(backends: &Backends) -> (Front, TestService) {
    testing::migrate::<Notes>(backends).await;
    let front = Front::start(backends.database_proxy.port()).await;
    let mut url: url::Url = backends.database_url().parse().unwrap();
    url.set_port(Some(front.port())).unwrap();
    let settings = [("DATABASE_URL", url.as_str())];
    let service = testing::start_unmigrated::<Notes>(backends, &settings).await;
    service.ready().await;
    (front, service)
}

#[tokio::test]
async fn a_server_that_is_full_is_asked_again_by_one_at_a_time() {
    let backends = Backends::new().await;
    let (front, service) = behind_a_front(&backends).await;
    let _holder = lock(&backends).await;
    front.behave(Manner::Refuse("53300"));
    let (before, began) = (front.taken(), Instant::now());
    let late = (0..40).map(|_| answer(locked(&service).header("x-deadline-ms", "3000")));
    for (status, _, _) in join_all(late).await {
        assert!([503, 504].contains(&status), "{status}");
    }
    // Seven at once at first; then one after pauses that double, up to a second and not under half of one. If everybody asked
    // every 50 ms it were 140 in a second.
    let (asked, took) = (front.taken() - before, began.elapsed());
    let most = 20 + 2 * took.as_secs_f64().ceil() as usize;
    assert!(asked <= most, "{asked} in {took:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_server_that_is_starting_is_waited_for() {
    let backends = Backends::new().await;
    let (front, service) = behind_a_front(&backends).await;
    front.behave(Manner::Refuse("57P03"));
    let refused = |more: usize| {
        let (front, before) = (&front, front.taken());
        eventually("connections are refused", move || async move {
            (front.taken() >= before + more).then_some(())
        })
    };
    backends.database_proxy.cut();
    eventually("all connections are closed", || async {
        (backends.connections().await == 0).then_some(())
    })
    .await;
    backends.database_proxy.heal();
    // Whoever asks for a new connection has found all the old ones closed.
    refused(1).await;
    let back = async {
        refused(2).await;
        front.behave(Manner::Pass);
    };
    let (answer, ()) = futures::join!(answer(note(&service, "k", "milk")), back);
    assert_eq!(answer, created());
    service.stop().await;
}

#[tokio::test]
async fn one_connection_that_cannot_be_made_dismisses_nobody() {
    let backends = Backends::new().await;
    let (front, service) = behind_a_front(&backends).await;
    let holder = lock(&backends).await;
    front.once(Manner::Close);
    let all = join_all((0..8).map(|_| answer(locked(&service))));
    let release = async {
        at_work(&backends, 8, "pg_advisory").await;
        holder.batch_execute(UNLOCK).await.unwrap();
    };
    let (all, ()) = futures::join!(all, release);
    assert!(all.iter().all(|(status, ..)| *status == 200), "{all:?}");
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

/// What the other tests stand on.
#[tokio::test]
async fn a_change_that_is_ended_for_a_deadlock_is_made_anew() {
    let backends = Backends::new().await;
    run(&backends, "create table a (); create table b ()").await;
    let db = backends.direct_db();
    let mut other = db.get().await.unwrap();
    let other = other.transaction().await.unwrap();
    // PostgreSQL ends the one that notices, and this one does not look.
    let holds = "set local deadlock_timeout = '60s'; lock table b in access share mode";
    other.batch_execute(holds).await.unwrap();
    let meets = async {
        let waits = "select from pg_locks where relation = 'b'::regclass and not granted";
        eventually("it has the first and waits for the second", || async {
            (!look(&db, waits, &[]).await.is_empty()).then_some(())
        })
        .await;
        let wants = other.batch_execute("lock table a in access share mode");
        wants.await.expect("the other one is ended");
        other.commit().await.unwrap();
    };
    let change = "lock table a; lock table b; alter table a rename to c";
    tokio::join!(backends.change_schema(change), meets);
    run(&backends, "drop table b, c").await;
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
    backends.change_schema(REPLACED).await;
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
async fn a_schema_that_has_left_a_version_behind_keeps_it_from_getting_ready() {
    let backends = Backends::new().await;
    testing::migrate::<Notes>(&backends).await;
    let dropped = "insert into refinery_schema_history (version, name, applied_on, checksum)
                   values (2, 'drop_text__oldest_1', '', '1'), (3, 'drop_more__oldest_2', '', '1')";
    run(&backends, dropped).await;
    let service = testing::start_unmigrated::<Notes>(&backends, &[]).await;
    let sentence = "the schema of the database has left this version behind: it needs version 1, and since the migration \
                    V3__drop_more__oldest_2 only code runs that needs 2 or later";
    eventually("it says so", || async {
        let (status, text) = readiness(&service).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        text.contains(sentence).then_some(())
    })
    .await;
    let back = "delete from refinery_schema_history where version = 3";
    run(&backends, back).await;
    service.ready().await;
    service.stop().await;
}

#[tokio::test]
async fn what_serves_goes_on_though_a_migration_leaves_it_behind() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let dropped = "insert into refinery_schema_history (version, name, applied_on, checksum)
                   values (3, 'drop_more__oldest_2', '', '1')";
    run(&backends, dropped).await;
    // A statement that names what is missing makes it look.
    let misspelt = service.http.get(service.at("/misspelt")).send().await;
    assert_eq!(misspelt.expect("an answer").status(), 500);
    assert_eq!(readiness(&service).await.0, StatusCode::OK);
    assert_eq!(answer(note(&service, "k", "milk")).await, created());
    service.stop().await;
}

/// As after a dump that was put back by another role, to which all tables belong then.
#[tokio::test]
async fn a_schema_that_cannot_be_read_makes_the_pod_not_ready_for_as_long() {
    let backends = Backends::new().await;
    testing::migrate::<Notes>(&backends).await;
    let role = format!("reader_{}", uuid::Uuid::now_v7().simple());
    let grant = format!("grant all on all tables in schema public to {role}");
    run(
        &backends,
        &format!("create role {role} login password 'reader'; {grant}"),
    )
    .await;
    let mut url: url::Url = backends.database_url().parse().unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("reader")).unwrap();
    let settings = [("DATABASE_URL", url.as_str())];
    let service = testing::start_unmigrated::<Notes>(&backends, &settings).await;
    service.ready().await;
    run(
        &backends,
        &format!("revoke all on all tables in schema public from {role}"),
    )
    .await;
    backends
        .publish_event(SUBSCRIBED, "a", 1, json!({ "when": "now" }))
        .await;
    service.until_processed(SUBSCRIBED, 1).await;
    let (status, text) = readiness(&service).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let sentence = "the schema of the database cannot be read: ";
    assert!(text.starts_with(sentence), "{text}");
    assert!(text.contains("permission denied"), "{text}");
    run(&backends, &grant).await;
    service.ready().await;
    // The event was not lost meanwhile.
    eventually("the event is applied", || async {
        let sql = "select from received where aggregate = 'a'";
        let rows = look(&backends.direct_db(), sql, &[]).await;
        (rows.len() == 1).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_schema_that_is_behind_is_not_logged_as_a_mistake_of_the_service() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .finish();
    // With one subscriber alone, what the threads of other tests log first would be off for this one too.
    testing::traces();
    // The service runs on the thread of its test.
    let _here = tracing::subscriber::set_default(subscriber);
    let misspelt = service.http.get(service.at("/misspelt"));
    let mistake = "a mistake of this service";
    assert_eq!(answer(misspelt).await.0, 500);
    assert_eq!(lines.count(mistake), 1, "{}", lines.text());
    backends.change_schema(REPLACED).await;
    assert_eq!(
        answer(note(&service, "k", "milk")).await,
        refused("schema_behind")
    );
    // By the watch over the schema: the line of a request may be kept back, as one of many alike.
    eventually("the log says so", || async {
        (lines.count(NOTHING_THERE) > 0).then_some(())
    })
    .await;
    assert_eq!(lines.count(mistake), 1, "{}", lines.text());
    service.stop().await;
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, part: &str) -> usize {
        let text = self.text();
        text.lines().filter(|line| line.contains(part)).count()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
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
    backends
        .change_schema("alter table received rename to away; delete from refinery_schema_history")
        .await;
    backends
        .publish_event(SUBSCRIBED, "a", 1, json!({ "when": "now" }))
        .await;
    // More than the ten tries after which an event that is refused is dead would take a quarter of a minute.
    service.until_processed(SUBSCRIBED, 2).await;
    let failed = "select count(*) from failed_events";
    assert_eq!(
        look(&backends.direct_db(), failed, &[]).await[0].get::<_, i64>(0),
        0
    );
    backends
        .change_schema(
            "alter table away rename to received;
             insert into refinery_schema_history (version, name, applied_on, checksum) values (1, 'notes', '', '1')",
        )
        .await;
    eventually("the event is applied", || async {
        let rows = look(
            &backends.direct_db(),
            "select from received where aggregate = 'a'",
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
