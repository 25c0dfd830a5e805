//! Whether a Deployment has come to its end.

use k8s_openapi::api::apps::v1::Deployment;

use crate::model::validate::Replicas;

/// All pods are of the newest template and as many as should be are available. Pods that an autoscaler has just asked for are
/// no reason to call a service unready.
pub fn is_complete(deployment: &Deployment, replicas: Replicas) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    let asked = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let there = status.replicas.unwrap_or(0);
    let (count_is_right, needed) = match replicas {
        Replicas::Fixed(count) => (asked == count && there == count, count),
        Replicas::Unmanaged => (there == asked, asked),
        Replicas::Autoscaled { min, .. } => (true, min),
    };
    count_is_right
        && status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == there
        && status.available_replicas.unwrap_or(0) >= needed
}
