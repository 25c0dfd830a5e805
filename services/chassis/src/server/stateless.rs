//! A service that keeps nothing, from its start on: ports, workers, and nothing to wait for.

use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use super::ports::{Ports, Served};
use super::{Basics, Running, Stops, admin};
use crate::health::{Health, Readiness};
use crate::http::HttpMetrics;
use crate::service::{Stateless, StatelessChassis};
use crate::settings::Env;
use crate::telemetry::SpanCounts;

impl StatelessChassis {
    pub(super) fn new(name: &'static str, stops: &Stops) -> Self {
        let mut registry = Registry::default();
        SpanCounts::of(name).register(&mut registry);
        Self {
            registry,
            calls: None,
            readiness: Readiness::default(),
            workers: vec![],
            stop: stops.work.clone(),
        }
    }
}

/// Starts `S` with the settings of `env`. Returns as soon as its ports listen.
pub(crate) async fn start<S: Stateless>(env: &Env) -> anyhow::Result<Running> {
    let basics = Basics::read(env)?;
    let settings = S::settings(env)?;
    let stops = Stops::default();
    let mut chassis = StatelessChassis::new(S::NAME, &stops);
    let metrics = HttpMetrics::new(&mut chassis.registry);
    let routes = S::start(settings, &mut chassis)?;
    let health = Health::new(chassis.readiness, None);

    let ports = Ports::listen(&basics, false).await?;
    let (api, admin, _) = ports.addresses()?;
    let served = Served {
        edge: basics.edge,
        routes,
        around: S::around,
        admin_routes: admin::routes(health.clone(), chassis.registry, None),
        grpc: None,
        metrics,
    };
    let requests = ports.serve(served, &stops);
    let work = TaskTracker::new();
    for worker in chassis.workers {
        work.spawn(worker.supervise(stops.work.clone()));
    }
    tracing::info!(version = S::VERSION, %api, %admin, "listening");
    Ok(Running {
        #[cfg(feature = "testing")]
        api,
        #[cfg(feature = "testing")]
        admin,
        #[cfg(feature = "testing")]
        grpc: None,
        health,
        requests,
        work,
        relay: TaskTracker::new(),
        // There is no schema to fall behind.
        schema: tokio::spawn(std::future::ready(None)),
        stops,
    })
}
