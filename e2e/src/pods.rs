//! Pods of the cluster: whether one is ready, and the way to a port of it.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::forward::forward;

/// Whether it takes requests, and is not going.
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod
            .status
            .iter()
            .flat_map(|s| s.conditions.iter().flatten())
            .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// A local port to `port` of a ready pod with these labels.
///
/// # Errors
/// When there is none.
pub async fn port_of(client: &Client, namespace: &str, labels: &str, port: u16) -> Result<u16> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = pods.list(&ListParams::default().labels(labels)).await?;
    let ready = listed.items.into_iter().find(is_ready);
    let pod = ready.with_context(|| format!("no ready pod with {labels} in {namespace}"))?;
    forward(pods, pod.name_any(), port).await
}
