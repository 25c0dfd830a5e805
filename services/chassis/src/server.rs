//! A service from its start to its stop. The start waits for nothing; the stop loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::{self, Behind, Db, MaxConnections, Schema};
use crate::events::broker::{Broker, StreamSize};
use crate::events::consumer::{CONCURRENCY, Consumer};
use crate::events::housekeeping::Housekeeping;
use crate::events::processor::Processor;
use crate::events::relay::Relay;
use crate::events::subscriptions::Subscriptions;
use crate::events::{self, retries};
use crate::grpc::{GrpcMetrics, HealthService, Observer};
use crate::health::{Condition, Health};
use crate::http::{self, EdgeSettings, HttpMetrics};
use crate::metrics::EventMetrics;
use crate::service::{Chassis, Service, StatelessChassis};
use crate::settings::{Env, SettingError};
use crate::worker::Worker;

mod admin;
mod ports;
mod stateless;

use ports::{Grpc, Ports, Served};
pub(crate) use stateless::start as start_stateless;

/// Within a grace period of 30 s less 5 s of `preStop`: clients move on; requests and the work beside them end, side by
/// side; then the relay.
const LEAVE: Duration = Duration::from_secs(2);
const STOP_WORK: Duration = Duration::from_secs(14);
const STOP_RELAY: Duration = Duration::from_secs(7);

/// A running service.
pub(crate) struct Running {
    #[cfg(feature = "testing")]
    pub(crate) api: SocketAddr,
    #[cfg(feature = "testing")]
    pub(crate) admin: SocketAddr,
    #[cfg(feature = "testing")]
    pub(crate) grpc: Option<SocketAddr>,
    health: Health,
    /// Over HTTP and gRPC.
    requests: TaskTracker,
    work: TaskTracker,
    relay: TaskTracker,
    stops: Stops,
    /// The watch over the schema: says why the process should end, if it should.
    schema: JoinHandle<Option<Behind>>,
}

/// The steps of a stop, in their order.
#[derive(Default)]
struct Stops {
    /// From here on each answer asks its client to take another connection.
    leaving: CancellationToken,
    /// Ends requests and the work beside them.
    work: CancellationToken,
    /// Ends the relay, once nobody can publish an event any more.
    relay: CancellationToken,
    admin: CancellationToken,
}

/// Where what it keeps and says goes.
struct Stores {
    database_url: SecretString,
    most_connections: MaxConnections,
    broker_url: SecretString,
    stream_size: Option<StreamSize>,
}

impl Stores {
    fn read(env: &Env) -> Result<Self, SettingError> {
        Ok(Self {
            database_url: env.secret("DATABASE_URL", db::URL_HINT)?,
            most_connections: env.or("DATABASE_MAX_CONNECTIONS", MaxConnections::default())?,
            broker_url: env.secret("NATS_URL", "nats://user:password@host:4222")?,
            stream_size: env.optional("EVENTS_MAX_BYTES")?,
        })
    }
}

/// The settings that every service has.
struct Basics {
    api: SocketAddr,
    admin: SocketAddr,
    grpc: SocketAddr,
    edge: EdgeSettings,
}

impl Basics {
    fn read(env: &Env) -> Result<Self, SettingError> {
        Ok(Self {
            api: env.or("HTTP_ADDR", SocketAddr::from(([0, 0, 0, 0], 8080)))?,
            admin: env.or("ADMIN_ADDR", SocketAddr::from(([0, 0, 0, 0], 9090)))?,
            grpc: env.or("GRPC_ADDR", SocketAddr::from(([0, 0, 0, 0], 8081)))?,
            edge: EdgeSettings::read(env)?,
        })
    }
}

/// Starts `S` with the settings of `env`. Returns as soon as its ports listen.
pub(crate) async fn start<S: Service>(env: &Env) -> anyhow::Result<Running> {
    let basics = Basics::read(env)?;
    let stores = Stores::read(env)?;
    let settings = S::settings(env)?;
    let (url, most) = (stores.database_url, stores.most_connections);
    let db = Db::new(S::NAME, url, most, S::LISTENERS)?;
    let schema = Schema::of::<S>(db.clone());
    let broker = Broker::connect(S::NAME, &stores.broker_url, stores.stream_size).await?;

    let stops = Stops::default();
    let mut common = StatelessChassis::new(S::NAME, &stops);
    let http_metrics = HttpMetrics::new(&mut common.registry);
    let events = EventMetrics::new(&mut common.registry);
    db.register(&mut common.registry);
    let migrated = common.readiness("database");
    let connected = common.readiness("broker");
    let mut chassis = Chassis {
        db: db.clone(),
        subscriptions: Subscriptions::default(),
        common,
    };
    let state = S::start(settings, &mut chassis)?;
    let health = Health::new(chassis.common.readiness.clone(), Some(schema.clone()));
    let grpc = grpc_api::<S>(state.clone(), &mut chassis, &health, &schema)?;
    let background = Background {
        service: S::NAME,
        processor: Arc::new(Processor {
            db: db.clone(),
            schema: schema.clone(),
            subscriptions: chassis.subscriptions,
            metrics: events.clone(),
        }),
        db,
        schema,
        broker,
        events,
    };

    let administration = S::administration(state.clone());
    let routes = S::routes().with_state(state).split_for_parts().0;
    let registry = chassis.common.registry;
    let ports = Ports::listen(&basics, grpc.is_some()).await?;
    let (api, admin, grpc_address) = ports.addresses()?;
    let served = Served {
        edge: basics.edge,
        routes: http::api(routes, background.schema.clone()),
        around: std::convert::identity,
        admin_routes: background
            .admin_routes(health.clone(), registry)
            .merge(administration),
        grpc,
        metrics: http_metrics,
    };
    let requests = ports.serve(served, &stops);
    let relay = background.relay(connected);
    let mut workers = chassis.common.workers;
    workers.extend(background.workers());
    let schema = background.schema;
    let grpc = grpc_address.map(tracing::field::display);
    tracing::info!(version = S::VERSION, %api, %admin, grpc, "listening");
    Ok(Running {
        #[cfg(feature = "testing")]
        api,
        #[cfg(feature = "testing")]
        admin,
        #[cfg(feature = "testing")]
        grpc: grpc_address,
        health,
        requests,
        work: run_after(&migrated, workers, &stops.work),
        relay: run_after(&migrated, [relay_worker(relay)], &stops.relay),
        schema: tokio::spawn({
            let stop = stops.work.clone();
            async move { schema.watch(migrated, stop).await }
        }),
        stops,
    })
}

/// What the gRPC port answers and measures; `None` for a service without.
fn grpc_api<S: Service>(
    state: S::State,
    chassis: &mut Chassis,
    health: &Health,
    schema: &Schema,
) -> anyhow::Result<Option<Grpc>> {
    let Some(api) = S::grpc(state) else {
        return Ok(None);
    };
    let health = HealthService {
        health: health.clone(),
        service: api.name(),
        stop: chassis.stop(),
    };
    let (routes, methods) = api.routes(health)?;
    let observer = Observer {
        metrics: GrpcMetrics::new(chassis.metrics()),
        methods: Arc::new(methods),
    };
    Ok(Some(Grpc {
        routes,
        observer,
        schema: schema.clone(),
    }))
}

/// What runs beside the requests is made of.
struct Background {
    service: &'static str,
    db: Db,
    schema: Schema,
    broker: Broker,
    events: EventMetrics,
    processor: Arc<Processor>,
}

impl Background {
    fn admin_routes(&self, health: Health, registry: Registry) -> Router {
        let events = events::admin::routes(self.processor.clone());
        admin::routes(health, registry, Some(self.db.clone())).merge(events)
    }

    fn relay(&self, connected: Condition) -> Arc<Relay> {
        Arc::new(Relay {
            db: self.db.clone(),
            broker: self.broker.clone(),
            metrics: self.events.clone(),
            connected,
        })
    }

    /// The workers that every service has, and those that handle events: one for each kind, and one for what is to be tried
    /// again.
    fn workers(&self) -> Vec<Worker> {
        let housekeeping = Arc::new(Housekeeping {
            db: self.db.clone(),
            metrics: self.events.clone(),
            broker: self.broker.clone(),
        });
        let mut workers = vec![Worker::new("housekeeping", move |stop| {
            let housekeeping = housekeeping.clone();
            async move { housekeeping.run(stop).await }
        })];
        let places = Arc::new(Semaphore::new(CONCURRENCY));
        let kinds: Vec<_> = self.processor.subscriptions.kinds().collect();
        if !kinds.is_empty() {
            let processor = self.processor.clone();
            workers.push(Worker::new("retries", move |stop| {
                let processor = processor.clone();
                async move { retries::run(&processor, stop).await }
            }));
        }
        workers.extend(kinds.into_iter().map(|kind| self.consumer(kind, &places)));
        workers
    }

    fn consumer(&self, kind: &'static str, places: &Arc<Semaphore>) -> Worker {
        let consumer = Arc::new(Consumer {
            service: self.service,
            kind,
            broker: self.broker.clone(),
            processor: self.processor.clone(),
            places: places.clone(),
        });
        Worker::new(kind, move |stop| {
            let consumer = consumer.clone();
            async move { consumer.run(stop).await }
        })
    }
}

fn relay_worker(relay: Arc<Relay>) -> Worker {
    Worker::new("relay", move |stop| {
        let relay = relay.clone();
        async move {
            let outcome = relay.run(stop).await;
            // Before the first success it says what a process waits for, afterwards nobody asks.
            outcome.inspect_err(|error| relay.connected.not_yet(format!("{error:#}")))
        }
    })
}

/// Runs the workers from the moment that `condition` is met.
fn run_after(
    condition: &Condition,
    workers: impl IntoIterator<Item = Worker>,
    stop: &CancellationToken,
) -> TaskTracker {
    let tasks = TaskTracker::new();
    for worker in workers {
        tasks.spawn(after(condition.clone(), worker, stop.clone()));
    }
    tasks
}

impl Running {
    pub(crate) fn health(&self) -> Health {
        self.health.clone()
    }

    /// Gives clients that hold a connection the time to take another one, at another replica: requests are still
    /// answered, and each answer says that its connection ends.
    pub(crate) async fn leave(&self) {
        self.health.stop();
        self.stops.leaving.cancel();
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

    /// Stops: not ready, no new request, requests finish, events and workers finish, the outbox is published.
    pub(crate) async fn stop(self) {
        self.health.stop();
        self.stops.work.cancel();
        tokio::join!(
            ended("requests", STOP_WORK, &self.requests),
            ended("workers", STOP_WORK, &self.work),
        );
        self.stops.relay.cancel();
        ended("relay", STOP_RELAY, &self.relay).await;
        self.stops.admin.cancel();
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
