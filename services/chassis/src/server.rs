//! A service from its start to its stop. The start waits for nothing; the stop loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::{self, Db};
use crate::events::broker::Broker;
use crate::events::consumer::Consumer;
use crate::events::dead_letters::Desk;
use crate::events::relay::Relay;
use crate::health::{Condition, Readiness};
use crate::http::{Born, HttpMetrics};
use crate::metrics::EventMetrics;
use crate::service::{Chassis, Service};
use crate::settings::Env;
use crate::worker::Worker;

mod admin;

/// Within a grace period of 30 s less 5 s of `preStop`: requests, then work beside them, then the relay.
const STOP_REQUESTS: Duration = Duration::from_secs(14);
const STOP_WORK: Duration = Duration::from_secs(6);
const STOP_RELAY: Duration = Duration::from_secs(3);

/// A running service.
pub(crate) struct Running {
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    readiness: Readiness,
    stop: CancellationToken,
    stop_relay: CancellationToken,
    http: JoinSet<()>,
    work: TaskTracker,
    relay: TaskTracker,
    admin_stop: CancellationToken,
    admin_task: tokio::task::JoinHandle<()>,
}

/// Starts `S` with the settings of `env`. Returns as soon as both ports listen.
pub(crate) async fn start<S: Service>(env: &Env) -> anyhow::Result<Running> {
    let database_url = env.secret(
        "DATABASE_URL",
        "postgres://user:password@host:5432/database",
    )?;
    let broker_url = env.secret("NATS_URL", "nats://user:password@host:4222")?;
    let api: SocketAddr = env.or("HTTP_ADDR", SocketAddr::from(([0, 0, 0, 0], 8080)))?;
    let admin: SocketAddr = env.or("ADMIN_ADDR", SocketAddr::from(([0, 0, 0, 0], 9090)))?;
    let settings = S::settings(env)?;
    let db = Db::new(S::NAME, database_url)?;
    let broker = Broker::connect(S::NAME, &broker_url).await?;

    let readiness = Readiness::default();
    let (database_ready, broker_ready) = (
        readiness.condition("database"),
        readiness.condition("broker"),
    );
    let mut registry = Registry::default();
    let http_metrics = HttpMetrics::new(&mut registry);
    let event_metrics = EventMetrics::new(&mut registry);
    let stop = CancellationToken::new();
    let mut chassis = Chassis {
        name: S::NAME,
        db: db.clone(),
        registry,
        readiness: readiness.clone(),
        workers: vec![],
        consumer: None,
        stop: stop.clone(),
    };
    let state = S::start(settings, &mut chassis)?;
    let Chassis {
        registry,
        workers,
        consumer,
        ..
    } = chassis;

    let api_listener = listen(api, "HTTP_ADDR").await?;
    let admin_listener = listen(admin, "ADMIN_ADDR").await?;
    let routes: Router = S::routes().with_state(state).split_for_parts().0;
    let routes = crate::http::layer(routes, http_metrics);
    let desk = Desk {
        db: db.clone(),
        handler: consumer.clone(),
    };
    let admin_routes = admin::routes(readiness.clone(), Arc::new(registry), db.clone(), desk);

    let (api, admin) = (api_listener.local_addr()?, admin_listener.local_addr()?);
    let mut http = JoinSet::new();
    http.spawn(serve(api_listener, routes, stop.clone()));
    let admin_stop = CancellationToken::new();
    let admin_task = tokio::spawn(serve(admin_listener, admin_routes, admin_stop.clone()));

    let work = TaskTracker::new();
    let relay = TaskTracker::new();
    let stop_relay = CancellationToken::new();
    work.spawn(watch_schema::<S>(
        db.clone(),
        database_ready.clone(),
        stop.clone(),
    ));
    for worker in workers {
        work.spawn(after(database_ready.clone(), worker, stop.clone()));
    }
    if let Some(handler) = consumer {
        let consumer = Arc::new(Consumer {
            service: S::NAME,
            db: db.clone(),
            broker: broker.clone(),
            handler,
            metrics: event_metrics.clone(),
        });
        let worker = Worker::new("consumer", move |stop| {
            let consumer = consumer.clone();
            async move { consumer.run(stop).await }
        });
        work.spawn(after(database_ready.clone(), worker, stop.clone()));
    }
    let relay_work = Arc::new(Relay {
        db,
        broker,
        metrics: event_metrics,
        connected: broker_ready,
    });
    let housekeeper = relay_work.clone();
    let housekeeping = Worker::new("housekeeping", move |stop| {
        let relay = housekeeper.clone();
        async move { relay.keep_house(stop).await }
    });
    work.spawn(after(database_ready.clone(), housekeeping, stop.clone()));
    let worker = Worker::new("relay", move |stop| {
        let relay = relay_work.clone();
        async move { relay.run(stop).await }
    });
    relay.spawn(after(database_ready, worker, stop_relay.clone()));

    tracing::info!(version = S::VERSION, %api, %admin, "listening");
    Ok(Running {
        api,
        admin,
        readiness,
        stop,
        stop_relay,
        http,
        work,
        relay,
        admin_stop,
        admin_task,
    })
}

impl Running {
    /// Stops: not ready, no new request, requests finish, heard events and workers finish, the outbox is published.
    pub(crate) async fn stop(mut self) {
        self.readiness.stop();
        self.stop.cancel();
        let requests = async { while self.http.join_next().await.is_some() {} };
        told_if_late("requests", STOP_REQUESTS, requests).await;
        self.work.close();
        told_if_late("workers", STOP_WORK, self.work.wait()).await;
        self.stop_relay.cancel();
        self.relay.close();
        told_if_late("relay", STOP_RELAY, self.relay.wait()).await;
        self.admin_stop.cancel();
        self.admin_task.abort();
        tracing::info!("stopped");
    }
}

async fn told_if_late(what: &str, limit: Duration, end: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, end).await.is_err() {
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

async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let service = routes.into_make_service_with_connect_info::<Born>();
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "listening ended");
    }
}

/// Runs `worker` from the moment the schema is there.
async fn after(condition: Condition, worker: Worker, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = condition.wait() => {}
    }
    worker.supervise(stop).await;
}

/// Looks for a database with the schema this version needs until it is there.
async fn watch_schema<S: Service>(db: Db, ready: Condition, stop: CancellationToken) {
    let mut told = false;
    loop {
        match db::is_migrated::<S>(&db).await {
            Ok(true) => return ready.met(),
            Ok(false) if !told => {
                told = true;
                tracing::info!("waiting for the migration of the database");
            }
            Err(error) if !told => {
                told = true;
                tracing::info!(%error, "waiting for the database");
            }
            Ok(false) | Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}
