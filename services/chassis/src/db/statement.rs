//! Statements within their time, on connections that go back to the pool only when nothing runs on them any more.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{ClientWrapper, GenericClient, Object};
use postgres_auth::ScramOnly;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use tracing::{Instrument, Span};

use super::patience::{SHORTEST, WITHOUT_CALLER, patience};
use super::{Error, UNREACHABLE, spans};
use crate::deadline;
use sealed::Running;

/// A connection of the pool, to which it goes back when it is dropped.
pub struct Connection {
    /// There until it is dropped or detached.
    held: Option<Held>,
    scram_only: ScramOnly,
    running: Running,
    event_added: Arc<Notify>,
}

/// The place goes back after the connection, so that whoever gets it next finds the connection in the pool.
struct Held {
    object: Object,
    place: OwnedSemaphorePermit,
}

/// A transaction. Dropped without a commit it is rolled back.
pub struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    running: &'a Running,
    event_added: &'a Notify,
    /// What the database may still take for it, where no caller's deadline bounds it.
    left: Option<Mutex<Duration>>,
}

/// What takes statements: a [`Connection`] or a [`Transaction`].
pub trait Client: sealed::Client {}

impl<C: sealed::Client> Client for C {}

mod sealed {
    use super::{AtomicUsize, Duration, GenericClient};

    /// How many statements have begun and not ended. It stays above zero when the future of one was dropped, because its
    /// caller has no more time or is gone: the server goes on with the statement all the same.
    #[derive(Default)]
    pub struct Running(pub(super) AtomicUsize);

    pub trait Client: Sync {
        type Inner: GenericClient;
        fn parts(&self) -> (&Self::Inner, &Running);
        /// How long the next statement may take.
        fn time(&self) -> Duration;
        /// Notes how long a statement took.
        fn took(&self, time: Duration);
    }
}

impl Connection {
    pub(super) fn new(
        object: Object,
        place: OwnedSemaphorePermit,
        scram_only: ScramOnly,
        event_added: Arc<Notify>,
    ) -> Self {
        Self {
            held: Some(Held { object, place }),
            scram_only,
            running: Running::default(),
            event_added,
        }
    }

    /// Begins a transaction. Its statements wait for locks and results as long as the caller waits, and without a caller
    /// for [`WITHOUT_CALLER`] in all.
    ///
    /// # Errors
    /// When the database does not answer in time, or not at all.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let time = patience();
        let held = self.held.as_mut().expect("there until the drop");
        let begun = within(time, &self.running, held.object.transaction());
        let inner = traced(spans::of_transaction("BEGIN"), begun).await?;
        let left = match deadline::remaining() {
            Some(_) => None,
            None => Some(Mutex::new(WITHOUT_CALLER)),
        };
        Ok(Transaction {
            inner,
            running: &self.running,
            event_added: &self.event_added,
            left,
        })
    }

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// Like those of [`query`].
    pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        batch_execute(self, sql).await
    }

    /// Takes the connection out of the pool, and so out of all bounds.
    pub(super) fn detach(mut self) -> ClientWrapper {
        let held = self.held.take().expect("there until the drop");
        Object::take(held.object)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else {
            return;
        };
        if self.running.0.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Whoever got it next would wait behind the statement that still runs.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end(held, self.scram_only))),
            Err(_) => drop(Object::take(held.object)),
        }
    }
}

/// Cancels what runs on a connection and closes it. Its place is free again when the server is done with it, so that a process
/// never has more connections than it may.
///
/// It is not used again, because nobody is told when a cancellation takes effect: it could hit the next statement.
async fn end(held: Held, scram_only: ScramOnly) {
    let Held { object, place } = held;
    let cancelled = async {
        object.cancel_token().cancel_query(scram_only).await?;
        // Answered once all that was sent before has come to its end.
        object.batch_execute("").await
    };
    if tokio::time::timeout(UNREACHABLE, cancelled).await.is_err() {
        tracing::debug!(
            "a statement could not be cancelled; the server ends it after its own time"
        );
    }
    drop(Object::take(object));
    drop(place);
}

impl Transaction<'_> {
    /// Wakes the relay: an event is in the outbox once this commits.
    pub(crate) fn event_added(&self) {
        self.event_added.notify_one();
    }

    /// Ends the transaction and keeps what it did.
    ///
    /// # Errors
    /// When it is not known to be kept: a constraint that is checked now refuses it, or the database does not answer.
    pub async fn commit(self) -> Result<(), Error> {
        let time = sealed::Client::time(&self);
        let done = within(time, self.running, self.inner.commit());
        traced(spans::of_transaction("COMMIT"), done).await
    }

    /// Ends the transaction and keeps nothing of what it did. A drop does the same without waiting for it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rollback(self) -> Result<(), Error> {
        let time = sealed::Client::time(&self);
        let done = within(time, self.running, self.inner.rollback());
        traced(spans::of_transaction("ROLLBACK"), done).await
    }

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// Like those of [`query`].
    pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        batch_execute(self, sql).await
    }
}

impl sealed::Client for Connection {
    type Inner = Object;

    fn parts(&self) -> (&Object, &Running) {
        let held = self.held.as_ref().expect("there until the drop");
        (&held.object, &self.running)
    }

    fn time(&self) -> Duration {
        patience()
    }

    fn took(&self, _: Duration) {}
}

impl<'a> sealed::Client for Transaction<'a> {
    type Inner = deadpool_postgres::Transaction<'a>;

    fn parts(&self) -> (&Self::Inner, &Running) {
        (&self.inner, self.running)
    }

    fn time(&self) -> Duration {
        match &self.left {
            None => patience(),
            Some(left) => SHORTEST.max(*left.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn took(&self, time: Duration) {
        if let Some(left) = &self.left {
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            *left = left.saturating_sub(time);
        }
    }
}

/// Like [`Connection::transaction`].
///
/// # Errors
/// When the database does not answer in time, or not at all.
pub async fn transaction(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    connection.transaction().await
}

/// Runs `sql`, prepared once per connection, and returns its rows. Waits for locks and the result as long as the caller waits,
/// 10 s at most.
///
/// # Errors
/// When the statement is refused, or the database does not answer in time.
pub async fn query(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let (inner, _) = client.parts();
    let work = async {
        let statement = prepared(inner, sql).await?;
        inner.query(&statement, params).await
    };
    run(client, sql, work).await
}

/// Like [`query`], for exactly one row.
///
/// # Errors
/// Like those of [`query`].
pub async fn query_one(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Row, Error> {
    let (inner, _) = client.parts();
    let work = async {
        let statement = prepared(inner, sql).await?;
        inner.query_one(&statement, params).await
    };
    run(client, sql, work).await
}

/// Like [`query`], for at most one row.
///
/// # Errors
/// Like those of [`query`].
pub async fn query_opt(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, Error> {
    let (inner, _) = client.parts();
    let work = async {
        let statement = prepared(inner, sql).await?;
        inner.query_opt(&statement, params).await
    };
    run(client, sql, work).await
}

/// Runs `sql` and returns how many rows it touched.
///
/// # Errors
/// Like those of [`query`].
pub async fn execute(
    client: &impl Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, Error> {
    let (inner, _) = client.parts();
    let work = async {
        let statement = prepared(inner, sql).await?;
        inner.execute(&statement, params).await
    };
    run(client, sql, work).await
}

/// The statement, kept with the connection for the next time.
///
/// It names its columns. With `*` its result changes with every migration that adds a column, and PostgreSQL then refuses it
/// ("cached plan must not change result type") on the connections of the version before, which still serves.
async fn prepared(
    inner: &impl GenericClient,
    sql: &str,
) -> Result<Statement, tokio_postgres::Error> {
    debug_assert!(names_its_columns(sql), "the columns are to be named: {sql}");
    inner.prepare_cached(sql).await
}

fn names_its_columns(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    !["select *", "returning *", ".*"]
        .iter()
        .any(|all| sql.contains(all))
}

async fn batch_execute(client: &impl Client, sql: &str) -> Result<(), Error> {
    let (inner, _) = client.parts();
    run(client, sql, inner.batch_execute(sql)).await
}

async fn run<T>(
    client: &impl Client,
    sql: &str,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    let (_, running) = client.parts();
    let started = Instant::now();
    let outcome = traced(spans::of(sql), within(client.time(), running, work)).await;
    client.took(started.elapsed());
    outcome
}

async fn traced<T>(span: Span, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let outcome = work.instrument(span.clone()).await;
    outcome.inspect_err(|error| spans::note(&span, error))
}

/// Runs `work` for at most `time`. Where it does not come to its end, it stays counted as running.
async fn within<T>(
    time: Duration,
    running: &Running,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    running.0.fetch_add(1, Ordering::Relaxed);
    let Ok(outcome) = tokio::time::timeout(time, work).await else {
        let waited = time.as_millis();
        let cause = format!("busy: no result within {waited} ms");
        return Err(Error::Unavailable(cause));
    };
    running.0.fetch_sub(1, Ordering::Relaxed);
    Ok(outcome?)
}
