//! The cluster as the operator sees it: one watch and one store for each kind it makes or needs to know. A reconcile reads
//! from here and sends no request for it.

mod cache;
mod drift;
mod kind;
mod merged;
mod monitor;
mod optional;
mod ownership;
mod packed;
mod scope;
mod tracked;
mod write;

use futures::{
    StreamExt,
    channel::mpsc::{UnboundedReceiver, unbounded},
    stream::select_all,
};
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::Client;
use tokio::task::JoinHandle;

use crate::metrics::Metrics;
pub use cache::ShopKey;
pub use drift::{Drift, drift, is_conflict};
pub use kind::Kind;
pub use merged::watch_all;
pub use monitor::{
    Endpoint, PodMonitor, PodMonitorSpec, Relabeling, ServiceMonitor, ServiceMonitorSpec,
};
pub use scope::Scope;
pub use tracked::{Standing, Tracked};
pub use write::{ADOPT_ANNOTATION, Edits, Written};

/// Under this name the API server notes which fields are ours.
pub const FIELD_MANAGER: &str = "shop-operator";

/// The cluster as the operator sees it.
pub struct Cluster {
    /// For what is asked directly.
    pub client: Client,
    /// Made for each service.
    pub deployments: Tracked<Deployment>,
    /// Databases and the broker.
    pub stateful_sets: Tracked<StatefulSet>,
    /// Templates of the pods of services, also those that ran before.
    pub revisions: Tracked<ControllerRevision>,
    /// Migrations.
    pub jobs: Tracked<Job>,
    /// Made for services, databases and the broker.
    pub services: Tracked<Service>,
    /// One for each service.
    pub service_accounts: Tracked<ServiceAccount>,
    /// Passwords, keys, the broker's configuration.
    pub secrets: Tracked<Secret>,
    /// Who may connect to whom.
    pub network_policies: Tracked<NetworkPolicy>,
    /// For services with more than one pod.
    pub disruption_budgets: Tracked<PodDisruptionBudget>,
    /// For services with `autoscaling`.
    pub autoscalers: Tracked<HorizontalPodAutoscaler>,
    /// One for each service where a Shop asks for it and the cluster has the kind.
    pub pod_monitors: Tracked<PodMonitor>,
    /// The same.
    pub service_monitors: Tracked<ServiceMonitor>,
    /// Read only: why something is not ready.
    pub pods: Tracked<Pod>,
    /// Read only: why a database is not ready.
    pub claims: Tracked<PersistentVolumeClaim>,
}

impl Cluster {
    /// Starts the watches in a task of their own. The task ends only when the receiver is dropped.
    pub fn watch(
        client: &Client,
        scope: &Scope,
        metrics: &Metrics,
    ) -> (Self, UnboundedReceiver<ShopKey>, JoinHandle<()>) {
        let (deployments, a) = Tracked::new(client.clone(), scope, metrics.clone());
        let (stateful_sets, b) = Tracked::new(client.clone(), scope, metrics.clone());
        let (jobs, c) = Tracked::new(client.clone(), scope, metrics.clone());
        let (services, d) = Tracked::new(client.clone(), scope, metrics.clone());
        let (service_accounts, e) = Tracked::new(client.clone(), scope, metrics.clone());
        let (secrets, f) = Tracked::new(client.clone(), scope, metrics.clone());
        let (network_policies, g) = Tracked::new(client.clone(), scope, metrics.clone());
        let (disruption_budgets, h) = Tracked::new(client.clone(), scope, metrics.clone());
        let (autoscalers, i) = Tracked::new(client.clone(), scope, metrics.clone());
        let (pods, j) = Tracked::new(client.clone(), scope, metrics.clone());
        let (claims, k) = Tracked::new(client.clone(), scope, metrics.clone());
        let (revisions, l) = Tracked::new(client.clone(), scope, metrics.clone());
        let (pod_monitors, m) = Tracked::where_served(client.clone(), scope, metrics.clone());
        let (service_monitors, n) = Tracked::where_served(client.clone(), scope, metrics.clone());
        // Unbounded, because whoever reads does so at once.
        let (sender, receiver) = unbounded();
        let mut changes = select_all([a, b, c, d, e, f, g, h, i, j, k, l, m, n]);
        let pump = tokio::spawn(async move {
            while let Some(changed) = changes.next().await {
                if sender.unbounded_send(changed).is_err() {
                    break;
                }
            }
        });
        let cluster = Self {
            client: client.clone(),
            deployments,
            stateful_sets,
            revisions,
            jobs,
            services,
            service_accounts,
            secrets,
            network_policies,
            disruption_budgets,
            autoscalers,
            pod_monitors,
            service_monitors,
            pods,
            claims,
        };
        (cluster, receiver, pump)
    }

    /// Waits until every store is filled: before that nothing may be judged absent.
    ///
    /// # Errors
    /// When a watch ended before.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let Self {
            client: _,
            deployments,
            stateful_sets,
            revisions,
            jobs,
            services,
            service_accounts,
            secrets,
            network_policies,
            disruption_budgets,
            autoscalers,
            pod_monitors,
            service_monitors,
            pods,
            claims,
        } = self;
        deployments.ready().await?;
        stateful_sets.ready().await?;
        revisions.ready().await?;
        jobs.ready().await?;
        services.ready().await?;
        service_accounts.ready().await?;
        secrets.ready().await?;
        network_policies.ready().await?;
        disruption_budgets.ready().await?;
        autoscalers.ready().await?;
        pod_monitors.ready().await?;
        service_monitors.ready().await?;
        pods.ready().await?;
        claims.ready().await?;
        Ok(())
    }
}
