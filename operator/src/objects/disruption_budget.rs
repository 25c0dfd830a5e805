//! The PodDisruptionBudget of a service with more than one pod: a drained node takes one at a time.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{labels::Component, names},
};

/// The PodDisruptionBudget of a service.
pub fn disruption_budget(shop: &ValidShop, service: &ValidService) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata::object(
            shop,
            names::service(&shop.name, &service.name),
            service.name.as_str(),
            Component::Service,
        ),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::selector(
                shop,
                service.name.as_str(),
                Component::Service,
            )),
            // A pod that is not ready serves nobody: it must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
