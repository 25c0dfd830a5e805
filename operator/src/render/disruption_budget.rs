//! The PodDisruptionBudget of a service with more than one pod: a drained node takes one at a time.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    catalogue::ServiceName,
    meta::{self, Component},
    names,
    validate::ValidShop,
};

/// The PodDisruptionBudget of a service.
pub fn disruption_budget(shop: &ValidShop, service: ServiceName) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta::object(
            shop,
            names::service(&shop.name, service),
            service.as_str(),
            Component::Service,
        ),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(meta::selector(shop, service.as_str(), Component::Service)),
            // A pod that is not ready serves nobody: it must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
