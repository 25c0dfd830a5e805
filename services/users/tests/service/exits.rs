//! Ends that are not good ones: each with its exit code and one sentence as the last line, which a cluster shows.

use chassis::testing::Backends;

use crate::common;
use crate::common::process::Process;

#[tokio::test]
async fn a_wrong_setting_ends_the_start_with_code_2_and_one_sentence() {
    let backends = Backends::new().await;
    for (name, value) in [
        ("DATABASE_MAX_CONNECTIONS", "1"),
        ("DATABASE_MAX_CONNECTIONS", "65"),
        ("DATABASE_MAX_CONNECTIONS", "many"),
        ("DATABASE_URL", "postgres//nothing"),
        ("NATS_URL", "nats://:::"),
        ("HTTP_ADDR", "nowhere"),
        ("LOG", "[["),
        ("LOG_FORMAT", "yaml"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x y"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a-token-alone"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "name=a-token%0A"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/null"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("SIGNING_SEED", "short"),
        ("ADMIN_EMAIL", "nobody"),
    ] {
        // What goes with an endpoint is read where there is one.
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        let end = Process::start(&backends, "serve", &[endpoint, (name, value)])
            .ended()
            .await;
        assert_eq!(
            end.status.code(),
            Some(2),
            "{name}={value}: {}",
            end.complained
        );
        let sentence = end.complained.trim_end();
        let begin = format!("setting {name} is wrong: ");
        assert!(sentence.starts_with(&begin), "{name}={value}: {sentence}");
        assert_eq!(sentence.lines().count(), 1, "{name}={value}: {sentence}");
        assert!(!sentence.contains("a-token"), "{sentence}");
    }
}

#[tokio::test]
async fn a_migration_of_a_version_that_the_schema_has_left_behind_ends_with_code_1_and_why() {
    let backends = Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    let connection = backends.direct_db().get().await.unwrap();
    let dropped = "insert into refinery_schema_history (version, name, applied_on, checksum)
                   values (9, 'drop_names__oldest_8', '', '1')";
    connection.batch_execute(dropped).await.unwrap();
    let end = Process::start(&backends, "migrate", &[]).ended().await;
    assert_eq!(end.status.code(), Some(1), "{}", end.complained);
    let sentence = "the schema of the database has left this version behind: it needs version 2, and since the migration \
                    V9__drop_names__oldest_8 only code runs that needs 8 or later";
    assert_eq!(end.complained, format!("{sentence}\n"));
}

#[tokio::test]
async fn a_database_that_was_replaced_ends_the_process_with_code_3_and_one_sentence() {
    let backends = Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    let users = Process::start(&backends, "serve", &[]);
    let api = users.ready().await;
    backends
        .change_schema("drop schema public cascade; create schema public")
        .await;
    // It would be noticed without a request too, only later.
    let account = reqwest::Client::new().post(format!("http://{api}/users"));
    let answer = account.json(&common::account("ada@shop.example")).send();
    let problem = common::problem(answer.await.unwrap(), 503, "schema_behind").await;
    let sentence = "the schema of the database is behind: version 0 found, 2 needed";
    assert!(
        problem["detail"].as_str().unwrap().contains(sentence),
        "{problem}"
    );
    let end = users.ended().await;
    assert_eq!(end.status.code(), Some(3), "{}", end.complained);
    assert_eq!(end.complained, format!("{sentence}\n"));
    assert!(
        end.logged.lines().all(|line| line.starts_with('{')),
        "{}",
        end.logged
    );
}
