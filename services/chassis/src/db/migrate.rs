//! Migrations: the chassis' tables, then the service's, one process at a time.

use std::time::Duration;

use anyhow::Context;

use super::Db;
use super::range::Range;
use super::schema::Versions;
use crate::service::Service;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// How long `migrate` waits for a database that is not there yet.
const PATIENCE: Duration = Duration::from_secs(120);
/// The advisory lock that keeps two migrations of one database apart; the number itself means nothing.
const LOCK: i64 = 0x5348_4f50;

/// The tables in which the applied migrations are noted.
pub(super) const CHASSIS_HISTORY: &str = "chassis_schema_history";
pub(super) const SERVICE_HISTORY: &str = "refinery_schema_history";

fn chassis_migrations() -> refinery::Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(CHASSIS_HISTORY);
    runner
}

fn service_migrations<S: Service>() -> refinery::Runner {
    let mut runner = S::migrations();
    runner.set_migration_table_name(SERVICE_HISTORY);
    runner
}

/// The versions that this binary brings.
pub(super) fn needed<S: Service>() -> Versions {
    let newest = |runner: refinery::Runner| {
        let versions = runner
            .get_migrations()
            .iter()
            .map(|m| i64::from(m.version()));
        versions.max().unwrap_or(0)
    };
    Versions {
        chassis: newest(chassis_migrations()),
        service: newest(service_migrations::<S>()),
    }
}

/// Waits for the database, takes the lock, applies what is missing. Returns which code runs on the schema then.
///
/// A database that is *ahead* is fine: it was migrated by a newer version, which by rule works with this one, and a
/// service that is taken back must be able to start. Unless a migration that was applied says that it has left this
/// version behind: then nothing is done.
pub(crate) async fn migrate<S: Service>(db: &Db) -> anyhow::Result<Range> {
    let embedded = service_migrations::<S>();
    let embedded = embedded.get_migrations().iter();
    let embedded = embedded.map(|it| (i64::from(it.version()), it.name()));
    if let Some(wrong) = Range::wrong_mark(embedded) {
        anyhow::bail!(
            "the migration {wrong} has a wrong mark: name the oldest version of the schema whose code still runs, at most its own"
        );
    }
    // Out of the pool and its bounds: a long migration must not be cut, nor the wait for another one. And the session's
    // settings must not go into a pool.
    let mut connection = wait_for_database(db).await?.detach();
    connection
        .batch_execute(&format!(
            "set statement_timeout = 0; set lock_timeout = '60s'; set idle_in_transaction_session_timeout = 0; select pg_advisory_lock({LOCK})"
        ))
        .await
        .context("cannot take the migration lock")?;
    if let Some(left) = range::<S>(&connection).await?.left_behind() {
        return Err(left.into());
    }
    let mut applied = 0;
    for runner in [chassis_migrations(), service_migrations::<S>()] {
        let report = runner
            .set_abort_missing(false)
            .run_async(&mut *connection)
            .await
            .context("a migration failed; the database keeps what was applied before it")?;
        applied += report.applied_migrations().len();
    }
    tracing::info!(applied, "the schema is up to date");
    // The connection is closed here, which releases the lock.
    range::<S>(&connection).await
}

async fn range<S: Service>(connection: &tokio_postgres::Client) -> anyhow::Result<Range> {
    let is_there = "select to_regclass($1) is not null";
    let row = connection.query_one(is_there, &[&SERVICE_HISTORY]).await?;
    let rows = match row.get(0) {
        true => connection.query(&Range::sql(SERVICE_HISTORY), &[]).await?,
        false => Vec::new(),
    };
    Ok(Range::of(needed::<S>().service, &rows))
}

async fn wait_for_database(db: &Db) -> anyhow::Result<super::Connection> {
    let started = std::time::Instant::now();
    let mut told = started;
    loop {
        match db.get().await {
            Ok(connection) => return Ok(connection),
            Err(error) if started.elapsed() > PATIENCE => {
                return Err(error).context(format!(
                    "the database did not answer for {} s",
                    PATIENCE.as_secs()
                ));
            }
            Err(error) => {
                if told.elapsed() > Duration::from_secs(5) {
                    told = std::time::Instant::now();
                    tracing::info!(%error, waited_s = started.elapsed().as_secs(), "waiting for the database");
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}
