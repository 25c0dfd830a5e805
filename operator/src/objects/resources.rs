//! All objects of a Shop in one struct, with a proof of where they come from: only what was applied can become status.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};

use crate::cluster::{PodMonitor, ServiceMonitor};

/// Where objects come from.
pub trait State {
    /// An object in this state.
    type Of<K>;
}

/// How objects should be.
pub struct Rendered;
/// How the API server answered that they are.
pub struct Applied;

impl State for Rendered {
    type Of<K> = K;
}

impl State for Applied {
    type Of<K> = Arc<K>;
}

/// The objects of a Shop.
pub struct Resources<S: State> {
    /// One for each service.
    pub service_accounts: Vec<S::Of<ServiceAccount>>,
    /// Of services, databases and the broker.
    pub services: Vec<S::Of<Service>>,
    /// Of services, databases and the broker.
    pub network_policies: Vec<S::Of<NetworkPolicy>>,
    /// The broker's configuration.
    pub secrets: Vec<S::Of<Secret>>,
    /// Databases and the broker.
    pub stateful_sets: Vec<S::Of<StatefulSet>>,
    /// Services whose pods may roll.
    pub deployments: Vec<S::Of<Deployment>>,
    /// Migrations.
    pub jobs: Vec<S::Of<Job>>,
    /// Of services with more than one pod.
    pub disruption_budgets: Vec<S::Of<PodDisruptionBudget>>,
    /// Of services with `autoscaling`.
    pub autoscalers: Vec<S::Of<HorizontalPodAutoscaler>>,
    /// Of services, where the Shop asks for them and the cluster has the kind.
    pub pod_monitors: Vec<S::Of<PodMonitor>>,
    /// The same.
    pub service_monitors: Vec<S::Of<ServiceMonitor>>,
}

impl<S: State> Default for Resources<S> {
    fn default() -> Self {
        Self {
            service_accounts: Vec::new(),
            services: Vec::new(),
            network_policies: Vec::new(),
            secrets: Vec::new(),
            stateful_sets: Vec::new(),
            deployments: Vec::new(),
            jobs: Vec::new(),
            disruption_budgets: Vec::new(),
            autoscalers: Vec::new(),
            pod_monitors: Vec::new(),
            service_monitors: Vec::new(),
        }
    }
}
