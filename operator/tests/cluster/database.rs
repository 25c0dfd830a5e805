//! Roles and databases in a real PostgreSQL.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use secrecy::SecretString;
use serde_json::json;
use shop_operator::facts::database::create_role_and_database;
use tokio_postgres::{Config, NoTls, error::SqlState};

use crate::harness::{Harness, required, unique};

fn server() -> Config {
    required("TEST_DATABASE_URL")
        .parse()
        .expect("a database URL")
}

fn as_role(name: &str, password: &str, database: &str) -> Config {
    let mut config = server();
    config.user(name).password(password).dbname(database);
    config
}

async fn run(config: &Config, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let result = client.batch_execute(sql).await;
    drop(client);
    connection.await.expect("no panic")?;
    result
}

#[tokio::test]
async fn a_role_owns_its_database_and_nothing_else() {
    let (mine, other) = (unique("mine"), unique("other"));
    for name in [&mine, &other] {
        create_role_and_database(&server(), name, &SecretString::from("first"))
            .await
            .expect("made");
    }
    let config = as_role(&mine, "first", &mine);
    run(
        &config,
        "create table t (n int); create schema s; create extension if not exists pg_trgm",
    )
    .await
    .expect("it owns its database");

    let refused = |error: tokio_postgres::Error| error.code().cloned();
    for database in [&other, "postgres", "template1"] {
        let result = run(&as_role(&mine, "first", database), "select 1").await;
        assert_eq!(
            result.map_err(refused),
            Err(Some(SqlState::INSUFFICIENT_PRIVILEGE)),
            "{database}"
        );
    }
    for sql in [
        "create role r",
        "create database d",
        "alter role postgres password 'x'",
        "copy t to program 'id'",
        "set role postgres",
    ] {
        assert_eq!(
            run(&config, sql).await.map_err(refused),
            Err(Some(SqlState::INSUFFICIENT_PRIVILEGE)),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn doing_it_again_keeps_the_data_and_takes_the_new_password() {
    let name = unique("again");
    create_role_and_database(&server(), &name, &SecretString::from("first"))
        .await
        .expect("made");
    run(
        &as_role(&name, "first", &name),
        "create table t (n int); insert into t values (1)",
    )
    .await
    .expect("used");
    let (config, new) = (server(), SecretString::from("second"));
    let (a, b) = tokio::join!(
        create_role_and_database(&config, &name, &new),
        create_role_and_database(&config, &name, &new)
    );
    // Two at the same moment may meet in one row of the catalogue; the loser tries again.
    assert!(a.is_ok() || b.is_ok(), "{a:?} {b:?}");
    create_role_and_database(&server(), &name, &new)
        .await
        .expect("again");
    run(
        &as_role(&name, "second", &name),
        "do $$ begin assert (select count(*) = 1 from t); end $$",
    )
    .await
    .expect("the data is there");
    let refused = run(&as_role(&name, "first", &name), "select 1")
        .await
        .expect_err("the old password");
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD));
}

#[tokio::test]
async fn a_name_that_needs_quoting_does_no_harm() {
    let name = unique("we\"ird'; drop table x; --");
    create_role_and_database(&server(), &name, &SecretString::from("it's"))
        .await
        .expect("made");
    run(&as_role(&name, "it's", &name), "select 1")
        .await
        .expect("used");
}

#[tokio::test]
async fn the_administrators_password_is_given_by_scram_and_in_no_other_way() {
    for (method, stored) in [("clear", "scram-sha-256"), ("md5", "md5")] {
        let role = unique(method).replace('-', "_");
        let sql = format!(
            "set password_encryption = '{stored}'; create role {role} superuser login password 'secret'"
        );
        run(&server(), &sql).await.expect("a role");
        let config = as_role(&role, "secret", "postgres");
        let error = create_role_and_database(&config, &role, &SecretString::from("new"))
            .await
            .expect_err("refused");
        assert!(postgres_auth::is_refusal(&error), "{error:?}");
    }
}

/// What a database is made with is no reason to restart it.
#[tokio::test]
async fn a_new_database_is_told_how_it_is_made_and_stays_so() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.settle().await;
    let harness = harness.restarted().await;
    harness.settle().await;
    let sets = harness.list::<StatefulSet>().await;
    let databases = sets.iter().filter(|set| set.name_any().ends_with("-db"));
    let mut seen = 0;
    for set in databases {
        assert_eq!(set.metadata.generation, Some(1), "{}", set.name_any());
        let pod = set
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref());
        let env = pod
            .and_then(|pod| pod.containers[0].env.as_ref())
            .expect("variables");
        assert!(
            env.iter()
                .any(|variable| variable.name == "POSTGRES_INITDB_ARGS")
        );
        seen += 1;
    }
    assert_eq!(seen, 5);
}
