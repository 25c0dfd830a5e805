//! CPU and memory of containers as the kubelets measure them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::wait::until;

/// What one pod has used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Working set in bytes: all but what of the file cache nobody has read for a while.
    pub memory: u64,
    /// What of that is in no file, so that only its process can give it back: anonymous memory in bytes.
    pub anonymous: u64,
    /// CPU time since the pod's start, in seconds.
    pub cpu: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    pods: Vec<PodStats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: PodRef,
    #[serde(default)]
    containers: Vec<ContainerStats>,
}

#[derive(Deserialize)]
struct PodRef {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStats {
    cpu: Option<Cpu>,
    memory: Option<Memory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: Timestamp,
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    working_set_bytes: Option<u64>,
    rss_bytes: Option<u64>,
}

/// The usage of every pod of a namespace, measured after now: kubelets look every ten seconds or so.
pub async fn after_now(cluster: &Cluster, namespace: &str) -> Result<BTreeMap<String, Usage>> {
    let now = Timestamp::try_from(SystemTime::now())?;
    until(
        "the kubelets have measured again",
        Duration::from_secs(90),
        || async {
            let mut usage = BTreeMap::new();
            let nodes: Api<Node> = Api::all(cluster.client.clone());
            for node in nodes.list(&ListParams::default()).await? {
                let path = format!("/api/v1/nodes/{}/proxy/stats/summary", node.name_any());
                let summary: Summary = cluster.json(&path).await?;
                for pod in summary
                    .pods
                    .into_iter()
                    .filter(|p| p.pod_ref.namespace == namespace)
                {
                    let mut sum = Usage {
                        memory: 0,
                        anonymous: 0,
                        cpu: 0.0,
                    };
                    for container in &pod.containers {
                        let (Some(cpu), Some(memory)) = (&container.cpu, &container.memory) else {
                            return Ok(None);
                        };
                        if cpu.time < now {
                            return Ok(None);
                        }
                        sum.memory += memory.working_set_bytes.unwrap_or_default();
                        sum.anonymous += memory.rss_bytes.unwrap_or_default();
                        sum.cpu += cpu.usage_core_nano_seconds.unwrap_or_default() as f64 / 1e9;
                    }
                    usage.insert(pod.pod_ref.name, sum);
                }
            }
            Ok((!usage.is_empty()).then_some(usage))
        },
    )
    .await
}
