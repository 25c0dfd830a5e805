//! The service's own PostgreSQL: a small pool, statements prepared once per connection, errors that tell an outage from
//! a mistake.

mod migrate;

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Pool, PoolError, QueueMode, RecyclingMethod, Runtime,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::NoTls;
pub use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
pub use tokio_postgres::types::{Json, ToSql};

pub(crate) use migrate::{is_migrated, migrate};

use crate::settings::{SettingError, wrong};

pub use deadpool_postgres::{GenericClient as Client, Object as Connection, Transaction};

/// What to give as `DATABASE_URL`.
pub(crate) const URL_HINT: &str = "postgres://user:password@host:5432/database";

/// Connections per process. With a handful of replicas per service this stays far below PostgreSQL's limit, and a
/// database on few cores does not get faster with more.
const CONNECTIONS: usize = 8;
/// How long a request waits for a connection before it is answered 503.
const WAIT: Duration = Duration::from_secs(2);

/// A connection unused for so long is closed: each costs its server some megabytes.
const IDLE: Duration = Duration::from_secs(60);
/// A server that acknowledges nothing for so long is gone. Without it a statement under way when a node died would wait
/// for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(6);

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    url: std::sync::Arc<SecretString>,
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
    match e.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => e.to_string(),
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
            PoolError::Timeout(_) => Self::Unavailable("no free connection in time".to_owned()),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::Unavailable(e.to_string())
            }
        }
    }
}

impl Db {
    /// A pool on `url` (`postgres://user:password@host:port/database`). Does not connect yet.
    pub fn new(service: &str, url: SecretString) -> Result<Self, SettingError> {
        let mut config = config(&url)?;
        config
            .application_name(service)
            .options("-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000");
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            // The one used last, so that those that are not needed get old.
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| wrong("DATABASE_URL", e))?;
        Ok(Self {
            pool,
            url: std::sync::Arc::new(url),
        })
    }

    /// A connection, waited for at most two seconds.
    pub async fn get(&self) -> Result<Connection, Error> {
        Ok(self.pool.get().await?)
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

    /// A connection of its own that hears `NOTIFY` on `channel`. The receiver ends when the connection is lost.
    pub async fn listen(
        &self,
        channel: &'static str,
    ) -> Result<tokio::sync::mpsc::Receiver<()>, Error> {
        let mut config = config(&self.url).map_err(|e| Error::Unavailable(e.to_string()))?;
        config.application_name("listen");
        let (client, mut connection) = config.connect(NoTls).await?;
        // A full channel means that a wake-up is waiting already: one is enough.
        let (wake, woken) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let message = std::future::poll_fn(|cx| connection.poll_message(cx)).await;
                match message {
                    Some(Ok(tokio_postgres::AsyncMessage::Notification(_))) => {
                        if let Err(tokio::sync::mpsc::error::TrySendError::Closed(())) =
                            wake.try_send(())
                        {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        });
        client.batch_execute(&format!("listen {channel}")).await?;
        // The connection lives as long as its client; the task above ends with it.
        let (guarded, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(forward(client, woken, guarded));
        Ok(receiver)
    }
}

/// Passes wake-ups on and keeps the client alive until the receiver is gone or the connection is lost.
async fn forward(
    client: tokio_postgres::Client,
    mut woken: tokio::sync::mpsc::Receiver<()>,
    to: tokio::sync::mpsc::Sender<()>,
) {
    loop {
        tokio::select! {
            () = to.closed() => break,
            wake = woken.recv() => {
                if wake.is_none() || to.send(()).await.is_err() {
                    break;
                }
            }
        }
    }
    drop(client);
}

fn config(url: &SecretString) -> Result<tokio_postgres::Config, SettingError> {
    // The parser's error does not repeat the URL, so the password in it stays out of the message.
    let mut config: tokio_postgres::Config = url
        .expose_secret()
        .parse()
        .map_err(|e: tokio_postgres::Error| wrong("DATABASE_URL", e))?;
    config
        .connect_timeout(WAIT)
        .tcp_user_timeout(SILENCE)
        .keepalives_idle(Duration::from_secs(15))
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3);
    Ok(config)
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
}
