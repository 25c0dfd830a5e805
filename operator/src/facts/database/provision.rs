//! The SQL that makes a service's role and database. Everything here may be done again at any time.

use std::time::Duration;

use postgres_auth::ScramOnly;
use postgres_protocol::{
    escape::{escape_identifier, escape_literal},
    password::scram_sha_256,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, error::SqlState};

/// Long enough for a busy machine, short enough to look again soon.
const CONNECT: Duration = Duration::from_secs(1);

/// Makes role and database `name`, or brings them to what they should be: the role is no superuser and owns its database,
/// and nobody else may connect to it.
///
/// # Errors
/// What the server answers.
pub async fn create_role_and_database(
    admin: &tokio_postgres::Config,
    name: &str,
    password: &SecretString,
) -> Result<(), tokio_postgres::Error> {
    let mut config = admin.clone();
    config
        .connect_timeout(CONNECT)
        .application_name("shop-operator");
    let scram_only = ScramOnly::prepare(&mut config);
    let (client, connection) = config.connect(scram_only).await?;
    let connection = tokio::spawn(connection);
    let result = create_with(&client, name, password).await;
    drop(client);
    connection.abort();
    result
}

async fn create_with(
    client: &Client,
    name: &str,
    password: &SecretString,
) -> Result<(), tokio_postgres::Error> {
    let role = escape_identifier(name);
    // The server gets the verifier, so that the password cannot stand in its log.
    let verifier = escape_literal(&scram_sha_256(password.expose_secret().as_bytes()));
    let rights = format!(
        "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {verifier}"
    );
    let exists = client
        .query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&name])
        .await?
        .is_some();
    let verb = if exists { "ALTER" } else { "CREATE" };
    ignore_exists(
        client
            .batch_execute(&format!("{verb} ROLE {role} {rights}"))
            .await,
    )?;

    let exists = client
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await?
        .is_some();
    if !exists {
        ignore_exists(
            client
                .batch_execute(&format!("CREATE DATABASE {role} OWNER {role}"))
                .await,
        )?;
    }
    client
        .batch_execute(&format!(
            "ALTER DATABASE {role} OWNER TO {role};
             REVOKE ALL ON DATABASE {role} FROM PUBLIC;
             REVOKE ALL ON DATABASE postgres FROM PUBLIC;
             REVOKE ALL ON DATABASE template1 FROM PUBLIC"
        ))
        .await
}

/// Somebody else made it between our look and our command.
fn ignore_exists(result: Result<(), tokio_postgres::Error>) -> Result<(), tokio_postgres::Error> {
    match result {
        Err(error)
            if matches!(
                error.code(),
                Some(
                    &(SqlState::DUPLICATE_OBJECT
                        | SqlState::DUPLICATE_DATABASE
                        | SqlState::UNIQUE_VIOLATION)
                )
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}
