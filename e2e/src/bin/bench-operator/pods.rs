//! Pods as a kubelet would report them. No process stands behind them.

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::api::ObjectMeta;
use serde_json::{Value, json};

/// A pod of this template, placed on a node.
pub(crate) fn pod(
    template: PodTemplateSpec,
    namespace: &str,
    name: &str,
    owner: OwnerReference,
) -> Pod {
    let metadata = template.metadata.unwrap_or_default();
    let mut spec = template.spec.unwrap_or_default();
    spec.node_name = Some("bench".into());
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: metadata.labels,
            annotations: metadata.annotations,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// The volume `data` of a StatefulSet's pod.
pub(crate) fn mount_claim(pod: &mut Pod, claim: &str) {
    let spec = pod.spec.get_or_insert_default();
    spec.volumes.get_or_insert_default().push(Volume {
        name: "data".into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    });
}

/// The status of a pod that serves at this address.
pub(crate) fn running(pod: &Pod, ip: &str) -> Value {
    let now = Timestamp::now().to_string();
    let containers = containers(pod, true, &json!({"running": {"startedAt": now}}));
    status("Running", ip, &now, &containers, "True")
}

/// The status of a pod whose process ended well.
pub(crate) fn succeeded(pod: &Pod) -> Value {
    let now = Timestamp::now().to_string();
    let ended = json!({"terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now, "containerID": container_id(),
    }});
    status(
        "Succeeded",
        "10.0.0.2",
        &now,
        &containers(pod, false, &ended),
        "False",
    )
}

fn status(phase: &str, ip: &str, now: &str, containers: &Value, ready: &str) -> Value {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": now});
    json!({
        "phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "10.0.0.1", "startTime": now,
        "conditions": [
            condition("PodReadyToStartContainers", ready), condition("Initialized", "True"), condition("Ready", ready),
            condition("ContainersReady", ready), condition("PodScheduled", "True"),
        ],
        "containerStatuses": containers,
    })
}

fn containers(pod: &Pod, started: bool, state: &Value) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let status = containers.map(|container| {
        let image = container.image.clone().unwrap_or_default();
        json!({
            "name": container.name, "image": image, "imageID": format!("{image}@sha256:{}", "0123456789abcdef".repeat(4)),
            "containerID": container_id(), "ready": started, "started": started, "restartCount": 0, "state": state,
        })
    });
    status.collect()
}

fn container_id() -> String {
    format!("containerd://{}", "fedcba9876543210".repeat(4))
}
