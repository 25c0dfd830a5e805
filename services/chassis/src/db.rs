//! The service's own PostgreSQL: a small pool, statements prepared once per connection, errors that tell an outage from
//! a mistake.

mod connections;
mod listen;
mod migrate;
mod patience;
mod schema;

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, QueueMode, RecyclingMethod};
use postgres_auth::ScramOnly;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, Semaphore};
pub use tokio_postgres::Row;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
pub use tokio_postgres::types::{Json, ToSql};

pub(crate) use connections::MaxConnections;
pub(crate) use migrate::migrate;
pub(crate) use schema::{Behind, Schema};

use crate::deadline;
use crate::settings::{SettingError, wrong};
use patience::{LONGEST, patience};

pub use deadpool_postgres::{GenericClient as Client, Object as Connection, Transaction};

/// What to give as `DATABASE_URL`.
pub(crate) const URL_HINT: &str = "postgres://user:password@host:5432/database";

/// A server whose machine does not take a TCP connection for so long is away: that is the kernel's work, which goes on
/// however busy the server is.
const UNREACHABLE: Duration = Duration::from_secs(2);
/// Between two tries when the server has no connection left for this process.
const PAUSE: Duration = Duration::from_millis(50);
/// A connection unused for so long is closed: each costs its server some megabytes.
const IDLE: Duration = Duration::from_secs(60);
/// A server that acknowledges nothing for so long is gone. Without it a statement under way when a node died would wait
/// for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(6);

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    url: Arc<SecretString>,
    /// Places for connections outside of the pool.
    listeners: Arc<Semaphore>,
    /// Tells those who wait for a place that somebody has just found the server absent.
    absent: Arc<Notify>,
}

/// Why a statement did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, overloaded or busy: the same request may succeed later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The statement itself failed: a constraint, or a mistake of ours.
    #[error("the database refused the statement: {}", describe(.0))]
    Query(#[source] tokio_postgres::Error),
}

impl Error {
    /// The name of the constraint that was violated.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Query(e) => e.as_db_error()?.constraint(),
            Self::Unavailable(_) => None,
        }
    }

    /// Whether the statement names a table, column or schema that is not there: a mistake of ours, or a database whose
    /// schema is behind.
    pub(crate) fn names_what_is_missing(&self) -> bool {
        match self {
            Self::Query(e) => e.code().is_some_and(|code| {
                [
                    SqlState::UNDEFINED_TABLE,
                    SqlState::UNDEFINED_COLUMN,
                    SqlState::INVALID_SCHEMA_NAME,
                ]
                .contains(code)
            }),
            Self::Unavailable(_) => false,
        }
    }

    /// Whether the whole transaction may simply be run again: a serialization failure or a deadlock.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Query(e) => {
                let code = e.code();
                code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
                    || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
            }
            Self::Unavailable(_) => false,
        }
    }
}

fn describe(e: &tokio_postgres::Error) -> String {
    match (e.as_db_error(), std::error::Error::source(e)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{e}: {cause}"),
        (None, None) => e.to_string(),
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(e: tokio_postgres::Error) -> Self {
        let away = match e.as_db_error() {
            Some(db) => is_passing(db.code()),
            None => {
                e.is_closed()
                    || std::error::Error::source(&e).is_some_and(|s| s.is::<std::io::Error>())
            }
        };
        if away {
            Self::Unavailable(describe(&e))
        } else {
            Self::Query(e)
        }
    }
}

/// Whether it is the server's condition and not the statement: by class, connection lost, resources short, operator's
/// doing or cancelled, system error (PostgreSQL, appendix A).
fn is_passing(code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "53" | "57" | "58")
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(code)
}

impl From<PoolError> for Error {
    fn from(e: PoolError) -> Self {
        match e {
            // Whatever keeps a connection from being made (wrong password, missing database, refused) is for the
            // caller the same: not available now.
            PoolError::Backend(e) => Self::Unavailable(describe(&e)),
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Self::Unavailable(e.to_string()),
        }
    }
}

impl Db {
    /// A pool on `url` (`postgres://user:password@host:port/database`) that leaves `listeners` of the `most` connections
    /// to [`Db::listen`]. Does not connect yet.
    pub(crate) fn new(
        service: &str,
        url: SecretString,
        most: MaxConnections,
        listeners: usize,
    ) -> Result<Self, SettingError> {
        let (mut config, scram_only) = config(&url)?;
        let statement = LONGEST.as_millis();
        config.application_name(service).options(format!(
            "-c statement_timeout={statement} -c idle_in_transaction_session_timeout=10000"
        ));
        let manager = Manager::from_config(
            config,
            scram_only,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(most.for_pool(listeners))
            // The one used last, so that those that are not needed get old.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|e| wrong("DATABASE_URL", e))?;
        Ok(Self {
            pool,
            url: Arc::new(url),
            listeners: Arc::new(Semaphore::new(listeners)),
            absent: Arc::default(),
        })
    }

    /// A connection. A busy database is waited for as long as the caller waits; an absent one is told from it by a
    /// connection that is refused, broken off, or not taken within two seconds, and then nobody waits any longer.
    pub async fn get(&self) -> Result<Connection, Error> {
        let patience = patience();
        let until = Instant::now() + patience;
        loop {
            let connected = tokio::select! {
                biased;
                connected = tokio::time::timeout_at(until.into(), self.pool.get()) => connected,
                () = self.absent.notified() => {
                    return Err(Error::Unavailable("the server cannot be reached".to_owned()));
                }
            };
            let error = match connected {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => {
                    let waited = patience.as_millis();
                    let cause = format!("busy: no free connection within {waited} ms");
                    return Err(Error::Unavailable(cause));
                }
            };
            match sign_of(&error) {
                Sign::Absent => self.absent.notify_waiters(),
                // Others hold all of its connections, and theirs end: that is a queue as well.
                Sign::Full if Instant::now() + PAUSE < until => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Sign::Full | Sign::Refusal => {}
            }
            return Err(error.into());
        }
    }

    /// Closes connections that were not used for a minute.
    pub(crate) fn trim(&self) {
        self.pool.retain(|_, use_| use_.last_used() < IDLE);
    }

    /// Connections in use and in all, for the metrics.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size - status.available.min(status.size), status.size)
    }
}

/// What a connection that could not be had says of the server.
enum Sign {
    /// Nobody is there.
    Absent,
    /// It is there and has no connection left.
    Full,
    /// It is there and does not let us in, or not yet.
    Refusal,
}

fn sign_of(error: &PoolError) -> Sign {
    match error {
        PoolError::Backend(e) => match e.code() {
            None if postgres_auth::is_refusal(e) => Sign::Refusal,
            None => Sign::Absent,
            Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => Sign::Full,
            Some(_) => Sign::Refusal,
        },
        PoolError::Timeout(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_) => Sign::Refusal,
    }
}

fn config(url: &SecretString) -> Result<(tokio_postgres::Config, ScramOnly), SettingError> {
    // The parser's error does not repeat the URL, so the password in it stays out of the message.
    let mut config: tokio_postgres::Config = url
        .expose_secret()
        .parse()
        .map_err(|e: tokio_postgres::Error| wrong("DATABASE_URL", e))?;
    config
        .connect_timeout(UNREACHABLE)
        .tcp_user_timeout(SILENCE)
        .keepalives_idle(Duration::from_secs(15))
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3);
    if config.get_ssl_mode() == SslMode::Require {
        return Err(wrong(
            "DATABASE_URL",
            "it asks for TLS (sslmode=require), which connections to the database do not have; leave it out",
        ));
    }
    let scram_only = ScramOnly::prepare(&mut config);
    Ok((config, scram_only))
}

/// Begins a transaction. Its statements wait for locks and results no longer than the caller does.
pub async fn transaction(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    let tx = connection.transaction().await?;
    // The session's own bound is right for whoever has the time; only the hurried pay a round trip.
    if deadline::remaining().is_some() && patience() < LONGEST {
        let statement = patience().as_millis();
        tx.batch_execute(&format!("set local statement_timeout = {statement}"))
            .await?;
    }
    Ok(tx)
}

/// Runs `sql`, prepared once per connection, and returns its rows.
pub async fn query(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// Like [`query`], for exactly one row.
pub async fn query_one(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Row, Error> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_one(&statement, params).await?)
}

/// Like [`query`], for at most one row.
pub async fn query_opt(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, Error> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_opt(&statement, params).await?)
}

/// Runs `sql` and returns how many rows it touched.
pub async fn execute(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, Error> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_server_is_an_outage_and_a_constraint_is_not() {
        for passing in [
            "08006", "53100", "53300", "57P01", "57P03", "57014", "58030", "55P03", "25006",
        ] {
            assert!(is_passing(&SqlState::from_code(passing)), "{passing}");
        }
        for ours in ["23505", "42601", "22003", "40001", "40P01"] {
            assert!(!is_passing(&SqlState::from_code(ours)), "{ours}");
        }
    }

    /// A port that neither takes nor refuses connections, as of a machine that is gone: its queue is full.
    async fn silent_port() -> (u16, impl Sized) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = vec![];
        let soon = Duration::from_millis(500);
        while let Ok(stream) =
            tokio::time::timeout(soon, tokio::net::TcpStream::connect(address)).await
        {
            queue.push(stream.unwrap());
        }
        (address.port(), (listener, queue))
    }

    #[tokio::test]
    async fn nobody_waits_in_line_for_a_server_that_is_found_absent() {
        let (port, _queue) = silent_port().await;
        let url = format!("postgres://nobody@127.0.0.1:{port}/none");
        let db = Db::new("test", url.into(), MaxConnections::default(), 0).unwrap();
        let caller = Instant::now() + Duration::from_secs(30);
        // In groups of eight, two seconds each, they would wait for longer than they can.
        let all = (0..80).map(|_| deadline::within(caller, db.get()));
        for outcome in futures::future::join_all(all).await {
            let error = outcome.err().unwrap().to_string();
            assert!(!error.contains("busy"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_connection_outside_of_the_pool_needs_a_place_that_was_set_aside() {
        let url = "postgres://nobody@127.0.0.1:1/none";
        let db = Db::new("test", url.into(), MaxConnections::default(), 0).unwrap();
        let error = db.listen("channel").await.err().unwrap().to_string();
        assert!(error.contains("set aside"), "{error}");
    }
}
