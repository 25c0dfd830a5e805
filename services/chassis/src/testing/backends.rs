//! A database and a broker account of its own for each test.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;
use uuid::{NoContext, Timestamp, Uuid};

use super::Proxy;
use crate::application::STREAM;
use crate::db::{self, Db, MaxConnections};

/// How long a test's database stays: longer than any test runs.
const KEEP: Duration = Duration::from_secs(900);
/// Broker accounts that the test broker has: `t0` to `t255`.
const ACCOUNTS: i64 = 256;

/// An event as another service publishes it. Delivered twice it is the same to the last byte, its time too.
#[derive(Debug, Clone)]
pub struct TestEvent {
    pub id: Uuid,
    pub time: time::OffsetDateTime,
    subject: String,
    aggregate: String,
    sequence: i64,
    data: Value,
}

impl TestEvent {
    /// An event with an id of its own that happens now.
    pub fn now(subject: &str, aggregate: &str, sequence: i64, data: Value) -> Self {
        Self {
            id: Uuid::now_v7(),
            time: time::OffsetDateTime::now_utc(),
            subject: subject.to_owned(),
            aggregate: aggregate.to_owned(),
            sequence,
            data,
        }
    }
}

/// One test's database and broker account, each behind a proxy that can be cut.
pub struct Backends {
    database_url: String,
    direct_database_url: String,
    nats_url: String,
    direct_nats_url: String,
    /// Between the service and PostgreSQL.
    pub database_proxy: Proxy,
    /// Between the service and NATS.
    pub nats_proxy: Proxy,
}

impl Backends {
    /// # Panics
    /// Without `TEST_DATABASE_URL` and `TEST_NATS_URL`: `eval "$(dev/backends.sh up)"` starts and names them.
    pub async fn new() -> Self {
        let database: Url = setting("TEST_DATABASE_URL");
        let nats: Url = setting("TEST_NATS_URL");
        let name = format!("t_{}", Uuid::now_v7().simple());
        let admin = pool(database.as_str());
        let connection = admin
            .get()
            .await
            .expect("TEST_DATABASE_URL does not answer");
        connection
            .batch_execute("create sequence if not exists broker_accounts")
            .await
            // Two tests that make it at once collide; then it is there.
            .ok();
        let account: i64 = db::query_one(&connection, "select nextval('broker_accounts')", &[])
            .await
            .expect("the next broker account")
            .get(0);
        connection
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("a database for the test");
        drop_old_databases(&connection).await;

        let database_proxy = Proxy::start(&address(&database, 5432)).await;
        let nats_proxy = Proxy::start(&address(&nats, 4222)).await;
        let mut direct_database = database.clone();
        direct_database.set_path(&name);
        let mut direct_nats = nats;
        direct_nats
            .set_username(&format!("t{}", account % ACCOUNTS))
            .and_then(|()| direct_nats.set_password(Some("t")))
            .expect("a URL with a host takes a user");
        let backends = Self {
            database_url: through(&direct_database, &database_proxy),
            direct_database_url: direct_database.to_string(),
            nats_url: through(&direct_nats, &nats_proxy),
            direct_nats_url: direct_nats.to_string(),
            database_proxy,
            nats_proxy,
        };
        // An account that was used before must not bring its old events.
        let _ = backends.jetstream().await.delete_stream(STREAM).await;
        backends
    }

    /// The database as the service sees it: through the proxy.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The broker as the service sees it: through the proxy.
    pub fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// The broker as a service sees it in a Shop, through the proxy: with the rights of `tests/service/notes` and no more.
    pub fn nats_url_as_notes(&self) -> String {
        let mut url: Url = self.nats_url.parse().expect("a URL");
        let user = url.username().replacen('t', "n", 1);
        url.set_username(&user)
            .expect("a URL with a host takes a user");
        url.to_string()
    }

    /// The database past the proxy, for a look at what is in it.
    pub fn direct_db(&self) -> Db {
        pool(&self.direct_database_url)
    }

    /// The database past the proxy, as another role.
    pub fn direct_db_as(&self, role: &str, password: &str) -> Db {
        let mut url: Url = self.direct_database_url.parse().expect("a URL");
        url.set_username(role)
            .and_then(|()| url.set_password(Some(password)))
            .expect("a URL with a host takes a user");
        pool(url.as_str())
    }

    /// Does what the migration of a later version may do while this one serves: every table gets another column.
    pub async fn widen_tables(&self) {
        let sql = "
            do $$
            declare one regclass;
            begin
                for one in select oid from pg_class where relkind = 'r' and relnamespace not in
                               (select oid from pg_namespace where nspname in ('pg_catalog', 'information_schema'))
                loop
                    execute format('alter table %s add column of_a_later_version text', one);
                end loop;
            end $$";
        self.change_schema(sql).await;
    }

    /// Changes tables that services use meanwhile. A change that wants several of them meets, now and then, a transaction
    /// that has locked one and wants the next: PostgreSQL ends one of the two, and this one is tried again.
    ///
    /// # Panics
    /// When the database refuses it for another reason, or ten times for this one.
    pub async fn change_schema(&self, sql: &str) {
        let connection = self.direct_db().get().await.expect("a connection");
        for _ in 0..10 {
            match connection.batch_execute(sql).await {
                Ok(()) => return,
                Err(error) if error.is_retryable() => {}
                Err(error) => panic!("{sql}: {error:?}"),
            }
        }
        panic!("{sql}: ten deadlocks, one after the other");
    }

    /// How many connections services have to the database now. Pools keep theirs for a minute, so this is also the most
    /// they had in the last seconds.
    pub async fn connections(&self) -> i64 {
        let sql = "select count(*) from pg_stat_activity
                   where datname = current_database() and application_name <> 'test'";
        let rows = super::look(&self.direct_db(), sql, &[]).await;
        rows[0].get(0)
    }

    /// The broker past the proxy.
    pub async fn jetstream(&self) -> jetstream::Context {
        let url: async_nats::ServerAddr = self.direct_nats_url.parse().expect("a URL");
        let options = async_nats::ConnectOptions::new().user_and_password(
            url.username().unwrap_or_default().to_owned(),
            url.password().unwrap_or_default().to_owned(),
        );
        jetstream::new(
            options
                .connect(url)
                .await
                .expect("TEST_NATS_URL does not answer"),
        )
    }

    /// Publishes a CloudEvent as another service would, and returns its id.
    pub async fn publish_event(
        &self,
        subject: &str,
        aggregate: &str,
        sequence: i64,
        data: Value,
    ) -> Uuid {
        let event = TestEvent::now(subject, aggregate, sequence, data);
        self.deliver(&event).await;
        event.id
    }

    /// Publishes an event, again and again if asked to, past the broker's own deduplication.
    pub async fn deliver(&self, event: &TestEvent) {
        let time = event
            .time
            .format(&time::format_description::well_known::Rfc3339)
            .expect("a time");
        let envelope = serde_json::json!({
            "specversion": "1.0", "id": event.id, "source": "/shop/test", "type": event.subject,
            "subject": event.aggregate, "time": time, "datacontenttype": "application/json",
            "sequence": event.sequence, "data": event.data,
        });
        self.publish(&event.subject, envelope.to_string()).await;
    }

    /// Publishes any bytes.
    pub async fn publish(&self, subject: &str, payload: String) {
        self.jetstream()
            .await
            .publish(subject.to_owned(), payload.into())
            .await
            .expect("the broker takes the message")
            .await
            .expect("the broker acknowledges: is a service running that made the stream?");
    }

    /// All CloudEvents in the stream whose type is `subject`.
    pub async fn published(&self, subject: &str) -> Vec<Value> {
        let jetstream = self.jetstream().await;
        let Ok(mut stream) = jetstream.get_stream(STREAM).await else {
            return vec![];
        };
        let last = stream.info().await.expect("the stream").state.last_sequence;
        let mut events = vec![];
        for sequence in 1..=last {
            if let Ok(message) = stream.get_raw_message(sequence).await
                && message.subject.as_str() == subject
                && let Ok(event) = serde_json::from_slice(&message.payload)
            {
                events.push(event);
            }
        }
        events
    }
}

/// Databases stay for a look after a failure, 8 MB each, and thousands of them use up the server's shared memory. So each new one
/// takes two old ones away. Their names begin with the time.
async fn drop_old_databases(admin: &db::Connection) {
    let then = SystemTime::now() - KEEP;
    let since_1970 = then.duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = Timestamp::from_unix(NoContext, since_1970.as_secs(), 0);
    let then = format!("t_{}", Uuid::new_v7(then).simple());
    let sql = "select datname::text from pg_database
               where datname ~ '^t_[0-9a-f]{32}$' and datname::text collate \"C\" < $1 order by 1 limit 2";
    let old = db::query(admin, sql, &[&then]).await;
    for row in old.expect("the databases of other tests") {
        let name: String = row.get(0);
        // Another test may be at the same one.
        let drop = format!("drop database if exists {name} with (force)");
        admin.batch_execute(&drop).await.ok();
    }
}

fn pool(url: &str) -> Db {
    let url = SecretString::from(url);
    Db::new("test", url, MaxConnections::default(), 0).expect("a database URL")
}

fn setting(name: &'static str) -> Url {
    std::env::var(name)
        .unwrap_or_else(|_| {
            panic!("{name} is not set: eval \"$(dev/backends.sh up)\" starts the test back ends")
        })
        .parse()
        .unwrap_or_else(|e| panic!("{name} is no URL: {e}"))
}

fn address(url: &Url, port: u16) -> String {
    format!(
        "{}:{}",
        url.host_str().expect("a URL with a host"),
        url.port().unwrap_or(port)
    )
}

fn through(url: &Url, proxy: &Proxy) -> String {
    let mut url = url.clone();
    url.set_host(Some("127.0.0.1"))
        .and_then(|()| {
            url.set_port(Some(proxy.port()))
                .map_err(|()| url::ParseError::InvalidPort)
        })
        .expect("a URL with a host takes another");
    url.to_string()
}
