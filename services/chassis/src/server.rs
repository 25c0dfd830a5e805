//! A service from its start to its stop. The start waits for nothing; the stop loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::{self, Behind, Db, MaxConnections, Schema};
use crate::events::broker::Broker;
use crate::events::consumer::Consumer;
use crate::events::dead_letters::Desk;
use crate::events::relay::Relay;
use crate::health::{Condition, Readiness};
use crate::http::{HttpMetrics, serve};
use crate::metrics::EventMetrics;
use crate::service::{Chassis, Service};
use crate::settings::{Env, SettingError};
use crate::worker::Worker;

mod admin;

/// Within a grace period of 30 s less 5 s of `preStop`: clients move on; requests and the work beside them end, side by side; then the relay.
const LEAVE: Duration = Duration::from_secs(2);
const STOP_WORK: Duration = Duration::from_secs(14);
const STOP_RELAY: Duration = Duration::from_secs(7);

/// A running service.
pub(crate) struct Running {
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    readiness: Readiness,
    /// From here on each answer asks its client to take another connection.
    leaving: CancellationToken,
    http: TaskTracker,
    work: TaskTracker,
    relay: TaskTracker,
    /// Ends requests and the work beside them.
    stop: CancellationToken,
    /// Ends the relay, once nobody can say an event any more.
    stop_relay: CancellationToken,
    stop_admin: CancellationToken,
    /// The watch over the schema: says why the process should end, if it should.
    schema: JoinHandle<Option<Behind>>,
}

/// The settings that every service has.
struct Basics {
    database_url: SecretString,
    most_connections: MaxConnections,
    broker_url: SecretString,
    api: SocketAddr,
    admin: SocketAddr,
}

impl Basics {
    fn read(env: &Env) -> Result<Self, SettingError> {
        Ok(Self {
            database_url: env.secret("DATABASE_URL", db::URL_HINT)?,
            most_connections: env.or("DATABASE_MAX_CONNECTIONS", MaxConnections::default())?,
            broker_url: env.secret("NATS_URL", "nats://user:password@host:4222")?,
            api: env.or("HTTP_ADDR", SocketAddr::from(([0, 0, 0, 0], 8080)))?,
            admin: env.or("ADMIN_ADDR", SocketAddr::from(([0, 0, 0, 0], 9090)))?,
        })
    }
}

/// Starts `S` with the settings of `env`. Returns as soon as both ports listen.
pub(crate) async fn start<S: Service>(env: &Env) -> anyhow::Result<Running> {
    let basics = Basics::read(env)?;
    let settings = S::settings(env)?;
    let (url, most) = (basics.database_url, basics.most_connections);
    let db = Db::new(S::NAME, url, most, S::LISTENERS)?;
    let schema = Schema::of::<S>(db.clone());
    let broker = Broker::connect(S::NAME, &basics.broker_url).await?;

    let mut registry = Registry::default();
    let http_metrics = HttpMetrics::new(&mut registry);
    let events = EventMetrics::new(&mut registry);
    let readiness = Readiness::default();
    let migrated = readiness.condition("database");
    let connected = readiness.condition("broker");
    let stop = CancellationToken::new();
    let mut chassis = Chassis {
        db: db.clone(),
        registry,
        readiness: readiness.clone(),
        workers: vec![],
        consumer: None,
        stop: stop.clone(),
    };
    let state = S::start(settings, &mut chassis)?;

    let routes = S::routes().with_state(state).split_for_parts().0;
    let leaving = CancellationToken::new();
    let routes = crate::http::layer(routes, http_metrics, schema.clone(), leaving.clone());
    let desk = Desk {
        db: db.clone(),
        handler: chassis.consumer.clone(),
    };
    let admin_routes = admin::routes(
        readiness.clone(),
        schema.clone(),
        Arc::new(chassis.registry),
        db.clone(),
        desk,
    );
    let api_listener = listen(basics.api, "HTTP_ADDR").await?;
    let admin_listener = listen(basics.admin, "ADMIN_ADDR").await?;
    let (api, admin) = (api_listener.local_addr()?, admin_listener.local_addr()?);

    let stop_admin = CancellationToken::new();
    let http = TaskTracker::new();
    http.spawn(serve(api_listener, routes, stop.clone()));
    tokio::spawn(serve(admin_listener, admin_routes, stop_admin.clone()));

    let relay = Arc::new(Relay {
        db: db.clone(),
        broker: broker.clone(),
        metrics: events.clone(),
        connected,
    });
    let mut workers = chassis.workers;
    workers.push(Worker::new("housekeeping", {
        let relay = relay.clone();
        move |stop| {
            let relay = relay.clone();
            async move { relay.keep_house(stop).await }
        }
    }));
    workers.extend(chassis.consumer.map(|handler| {
        let consumer = Arc::new(Consumer {
            service: S::NAME,
            db: db.clone(),
            schema: schema.clone(),
            broker,
            handler,
            metrics: events,
        });
        Worker::new("consumer", move |stop| {
            let consumer = consumer.clone();
            async move { consumer.run(stop).await }
        })
    }));
    let work = TaskTracker::new();
    for worker in workers {
        work.spawn(after(migrated.clone(), worker, stop.clone()));
    }
    let stop_relay = CancellationToken::new();
    let relay_worker = Worker::new("relay", move |stop| {
        let relay = relay.clone();
        async move { relay.run(stop).await }
    });
    let relaying = TaskTracker::new();
    relaying.spawn(after(migrated.clone(), relay_worker, stop_relay.clone()));
    let schema = tokio::spawn({
        let stop = stop.clone();
        async move { schema.watch(migrated, stop).await }
    });

    Ok(Running {
        api,
        admin,
        readiness,
        leaving,
        http,
        work,
        relay: relaying,
        stop,
        stop_relay,
        stop_admin,
        schema,
    })
}

impl Running {
    /// Gives clients that hold a connection the time to take another one, at another replica: requests are still
    /// answered, and each answer says that its connection ends.
    pub(crate) async fn leave(&self) {
        self.readiness.stop();
        self.leaving.cancel();
        tokio::time::sleep(LEAVE).await;
    }

    /// Waits until the schema is behind for good, and says what is wrong with it. Without end while all is well.
    pub(crate) async fn outdated(&mut self) -> Behind {
        match (&mut self.schema).await {
            Ok(Some(behind)) => behind,
            // It has ended because the process stops.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Stops: not ready, no new request, requests finish, heard events and workers finish, the outbox is published.
    pub(crate) async fn stop(self) {
        self.readiness.stop();
        self.stop.cancel();
        tokio::join!(
            ended("requests", STOP_WORK, &self.http),
            ended("workers", STOP_WORK, &self.work),
        );
        self.stop_relay.cancel();
        ended("relay", STOP_RELAY, &self.relay).await;
        self.stop_admin.cancel();
        tracing::info!("stopped");
    }
}

async fn ended(what: &str, limit: Duration, tasks: &TaskTracker) {
    tasks.close();
    if tokio::time::timeout(limit, tasks.wait()).await.is_err() {
        tracing::warn!(
            what,
            limit_s = limit.as_secs(),
            "did not end in time and is cut"
        );
    }
}

async fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}, as {setting} says"))
}

/// Runs `worker` from the moment the schema is there.
async fn after(condition: Condition, worker: Worker, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = condition.wait() => {}
    }
    worker.supervise(stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::WITHOUT_CALLER;

    #[test]
    fn what_is_at_work_when_the_stop_comes_ends_in_time_however_busy_the_database() {
        let a_connection_and_a_transaction = 2 * WITHOUT_CALLER;
        // An event that is applied, fails, and is written down as failed.
        assert!(2 * a_connection_and_a_transaction < STOP_WORK);
        // The last events are marked as published.
        assert!(a_connection_and_a_transaction < STOP_RELAY);
        let time_to_end = Duration::from_secs(1);
        assert!(LEAVE + STOP_WORK + STOP_RELAY + time_to_end < Duration::from_secs(25));
    }
}
