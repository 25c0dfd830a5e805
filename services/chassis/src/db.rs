//! The service's own PostgreSQL: a small pool, statements prepared once per connection, errors that tell an outage from
//! a mistake.

mod connections;
mod error;
mod listen;
mod migrate;
mod patience;
mod places;
mod range;
mod schema;
mod sign;
mod spans;
mod statement;
mod waits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod};
use postgres_auth::ScramOnly;
use prometheus_client::registry::Registry;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, Semaphore};
pub use tokio_postgres::Row;
use tokio_postgres::config::SslMode;
pub use tokio_postgres::types::{Json, ToSql};

pub(crate) use connections::MaxConnections;
pub use error::Error;
pub(crate) use migrate::migrate;
pub use patience::WITHOUT_CALLER;
pub(crate) use range::Range;
pub(crate) use schema::{Behind, Schema};
pub use statement::{
    Client, Connection, Transaction, execute, query, query_one, query_opt, transaction,
};

use crate::settings::{SettingError, wrong};
use patience::{LONGEST, patience};
use places::Places;
use sign::{Failure, Sign};
use waits::Waits;

/// What to give as `DATABASE_URL`.
pub(crate) const URL_HINT: &str = "postgres://user:password@host:5432/database";

/// A server whose machine does not take a TCP connection for so long is away: that is the kernel's work, which goes on
/// however busy the server is.
const UNREACHABLE: Duration = Duration::from_secs(2);
/// A connection unused for so long is closed: each costs its server some megabytes.
const IDLE: Duration = Duration::from_secs(60);
/// A server that acknowledges nothing for so long is gone. Without it a statement under way when a node died would wait
/// for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(6);

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    /// The line in front of the pool.
    places: Arc<Places>,
    scram_only: ScramOnly,
    url: Arc<SecretString>,
    /// Places for connections outside of the pool.
    listeners: Arc<Semaphore>,
    failure: Arc<Failure>,
    waits: Waits,
    /// Tells those who wait that the server has just been found absent.
    absent: Arc<Notify>,
    /// Tells the relay that an event was added, see [`crate::outbox`].
    pub(crate) event_added: Arc<Notify>,
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
        let most = most.for_pool(listeners);
        let pool = Pool::builder(manager)
            .max_size(most)
            // The one used last, so that those that are not needed get old.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|e| wrong("DATABASE_URL", e))?;
        Ok(Self {
            pool,
            places: Places::new(most),
            scram_only,
            url: Arc::new(url),
            listeners: Arc::new(Semaphore::new(listeners)),
            failure: Arc::default(),
            waits: Waits::default(),
            absent: Arc::default(),
            event_added: Arc::default(),
        })
    }

    /// A connection. A busy database is waited for as long as the caller waits, and so is one that has no connection left or
    /// is just starting. An absent one is told from it by connections that are refused, broken off, or not taken within two
    /// seconds, and then nobody waits any longer.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: absent, or busy for longer than the caller waits.
    pub async fn get(&self) -> Result<Connection, Error> {
        let (patience, wait) = (patience(), self.waits.begin());
        let connected = tokio::select! {
            biased;
            connected = tokio::time::timeout(patience, self.connection()) => {
                connected.unwrap_or_else(|_| {
                    let waited = patience.as_millis();
                    let cause = format!("busy: no free connection within {waited} ms");
                    Err(Error::Unavailable(cause))
                })
            }
            () = self.absent.notified() => {
                Err(Error::Unavailable("the server cannot be reached".to_owned()))
            }
        };
        wait.end(connected.is_ok());
        connected.inspect_err(spans::no_connection)
    }

    async fn connection(&self) -> Result<Connection, Error> {
        loop {
            let place = self.places.take().await.map_err(unavailable)?;
            let began = Instant::now();
            let error = match self.pool.get().await {
                Ok(object) => {
                    self.failure.forget();
                    if Object::metrics(&object).recycle_count == 0 {
                        self.places.served();
                    }
                    let event_added = self.event_added.clone();
                    return Ok(Connection::new(object, place, self.scram_only, event_added));
                }
                Err(error) => error,
            };
            match Sign::of(&error) {
                Sign::NotNow => {}
                Sign::Absent => {
                    let any_connection = self.pool.status().size > 0;
                    if self.failure.note(began, Instant::now(), any_connection) {
                        self.absent.notify_waiters();
                        return Err(error.into());
                    }
                }
                Sign::Refusal => return Err(error.into()),
            }
            self.places.hold_back(place);
        }
    }

    /// Registers what is measured of it while it is used; [`Db::usage`] is asked when somebody looks.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.waits.register(registry);
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

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline;

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
