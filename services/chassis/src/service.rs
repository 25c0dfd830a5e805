//! The traits of services, and what they are given to start with.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use url::Url;
use utoipa_axum::router::OpenApiRouter;

use crate::auth::Verifier;
use crate::client::CallMetrics;
use crate::db::Db;
use crate::events::contract::EventContract;
use crate::events::handler::Handler;
use crate::events::subscriptions::Subscriptions;
use crate::grpc;
use crate::health::{Condition, Readiness};
use crate::settings::{Env, SettingError};
use crate::worker::Worker;

/// One service of a system: its name, its settings, its routes, its events and how it starts.
pub trait Service: Send + Sync + 'static {
    /// The name it is known by to others: subject prefix, durable consumer, `service.name` of telemetry.
    const NAME: &'static str;
    /// Its own version: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// How many connections to the database it keeps outside of the pool, with [`Db::listen`].
    const LISTENERS: usize = 0;
    type Settings: Send + 'static;
    type State: Clone + Send + Sync + 'static;

    /// Reads and checks the service's own settings.
    fn settings(env: &Env) -> Result<Self::Settings, SettingError>;
    /// The service's own migrations; the chassis adds its tables by itself.
    fn migrations() -> refinery::Runner;
    /// Its routes with their OpenAPI description.
    fn routes() -> OpenApiRouter<Self::State>;
    /// Its gRPC API, where it has one; without, the port stays closed.
    fn grpc(_state: Self::State) -> Option<grpc::Api> {
        None
    }
    /// What it answers on the administration port, beside what the chassis does: without a log-in, because nobody outside of the
    /// cluster reaches it, and so without personal data.
    fn administration(_state: Self::State) -> Router {
        Router::new()
    }
    /// The events it publishes.
    fn events() -> Vec<EventContract>;
    /// Builds the state, registers what runs beside the requests. Must not wait for a dependency.
    fn start(settings: Self::Settings, chassis: &mut Chassis) -> anyhow::Result<Self::State>;
}

/// A service that keeps nothing: it has no database, and neither publishes events nor subscribes to any.
pub trait Stateless: Send + Sync + 'static {
    /// As [`Service::NAME`].
    const NAME: &'static str;
    /// As [`Service::VERSION`].
    const VERSION: &'static str;
    type Settings: Send + 'static;

    /// Reads and checks the service's own settings.
    fn settings(env: &Env) -> Result<Self::Settings, SettingError>;
    /// Builds all that it answers, also to paths that there are not. Must not wait for a neighbour.
    fn start(settings: Self::Settings, chassis: &mut StatelessChassis) -> anyhow::Result<Router>;
    /// Goes around all of that and around what the chassis answers in its place: too much work, no time left, a panic, a request that
    /// is none. It must be quick and must not fail: nothing guards it.
    fn around(routes: Router) -> Router {
        routes
    }
}

/// What a service that keeps nothing is given to start with.
pub struct StatelessChassis {
    pub(crate) registry: Registry,
    pub(crate) calls: Option<CallMetrics>,
    pub(crate) readiness: Readiness,
    pub(crate) workers: Vec<Worker>,
    pub(crate) stop: CancellationToken,
}

/// What a service is given to start with.
pub struct Chassis {
    pub(crate) db: Db,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) common: StatelessChassis,
}

impl Chassis {
    /// The pool of connections to the service's own database. Cheap to clone; connects when first asked.
    pub fn db(&self) -> Db {
        self.db.clone()
    }

    /// Subscribes to the kind of event that `handler` handles; one handler for each kind.
    pub fn subscribe(&mut self, handler: impl Handler) {
        self.subscriptions.add(handler);
    }

    /// As [`StatelessChassis::readiness`].
    pub fn readiness(&mut self, name: &'static str) -> Condition {
        self.common.readiness(name)
    }

    /// As [`StatelessChassis::worker`], but only from the moment the database is there.
    pub fn worker<F, Fut>(&mut self, name: &'static str, work: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.common.worker(name, work);
    }

    /// As [`StatelessChassis::metrics`].
    pub fn metrics(&mut self) -> &mut Registry {
        self.common.metrics()
    }

    /// As [`StatelessChassis::calls`].
    pub fn calls(&mut self) -> CallMetrics {
        self.common.calls()
    }

    /// As [`StatelessChassis::verifier`].
    pub fn verifier(&mut self, issuer: Url) -> Verifier {
        self.common.verifier(issuer)
    }

    /// As [`StatelessChassis::stop`].
    pub fn stop(&self) -> CancellationToken {
        self.common.stop()
    }
}

impl StatelessChassis {
    /// A condition of its own that must be met once before the service is ready.
    pub fn readiness(&mut self, name: &'static str) -> Condition {
        self.readiness.condition(name)
    }

    /// Runs `work` beside the requests, until the stop. Work that fails or panics is
    /// started again with a growing pause (0.2 s to 10 s).
    pub fn worker<F, Fut>(&mut self, name: &'static str, work: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.workers.push(Worker::new(name, work));
    }

    /// The registry behind `/metrics`.
    pub fn metrics(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Where calls to neighbours are measured, in the registry behind `/metrics`.
    pub fn calls(&mut self) -> CallMetrics {
        let registry = &mut self.registry;
        let calls = self.calls.get_or_insert_with(|| CallMetrics::new(registry));
        calls.clone()
    }

    /// Checks access tokens offline with the keys that `issuer` publishes, kept fresh in the background.
    pub fn verifier(&mut self, issuer: Url) -> Verifier {
        let verifier = Verifier::remote(issuer);
        let refresher = verifier.clone();
        self.workers.push(Worker::new("jwks", move |stop| {
            let verifier = refresher.clone();
            async move {
                verifier.keep_fresh(stop, Duration::from_secs(300)).await;
                Ok(())
            }
        }));
        verifier
    }

    /// Cancelled when the process has been told to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }
}
