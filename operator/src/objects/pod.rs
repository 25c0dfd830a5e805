//! What pods have in common: security contexts, probes, environment, amounts.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
        LocalObjectReference, PodSecurityContext, PodSpec, Probe, ResourceRequirements,
        SeccompProfile, SecretKeySelector, SecurityContext, Toleration, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use kube::api::ObjectMeta;

use crate::{
    api::{AmountsSpec, ResourcesSpec, SchedulingSpec, TaintEffect, TolerationOperator},
    model::validate::{ValidService, ValidShop},
};

/// The user of everything but PostgreSQL.
pub(super) const NONROOT: i64 = 65532;

/// The last lines of the log of a container that failed stand in the pod's status, from where the Shop's status quotes them.
pub(super) const LAST_WORDS: &str = "FallbackToLogsOnError";

/// The metadata of a service's pods: what the Shop adds, and ours, which win.
pub(super) fn metadata(
    wanted: &ValidService,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
) -> ObjectMeta {
    let joined = |theirs: &BTreeMap<String, String>, ours: BTreeMap<String, String>| {
        let mut all = theirs.clone();
        all.extend(ours);
        (!all.is_empty()).then_some(all)
    };
    ObjectMeta {
        labels: joined(&wanted.pod_labels, labels),
        annotations: joined(&wanted.pod_annotations, annotations),
        ..ObjectMeta::default()
    }
}

/// The pod on the nodes where it is to run.
pub(super) fn scheduled(scheduling: &SchedulingSpec, pod: PodSpec) -> PodSpec {
    let tolerations: Vec<_> = scheduling
        .tolerations
        .iter()
        .map(|toleration| Toleration {
            key: toleration.key.clone(),
            operator: toleration
                .operator
                .map(TolerationOperator::as_str)
                .map(Into::into),
            value: toleration.value.clone(),
            effect: toleration.effect.map(TaintEffect::as_str).map(Into::into),
            toleration_seconds: toleration.toleration_seconds,
        })
        .collect();
    let selector = &scheduling.node_selector;
    PodSpec {
        node_selector: (!selector.is_empty()).then(|| selector.clone()),
        tolerations: (!tolerations.is_empty()).then_some(tolerations),
        ..pod
    }
}

/// Runs as this user, with the default seccomp profile; volumes belong to the same group.
pub(super) fn security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        fs_group_change_policy: Some("OnRootMismatch".into()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// Nothing to write to, no capability, no way to more rights.
pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".into()]),
        }),
        ..SecurityContext::default()
    }
}

/// Logins of registries.
pub(super) fn pull_secrets(shop: &ValidShop) -> Option<Vec<LocalObjectReference>> {
    let references = shop
        .pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect::<Vec<_>>();
    (!references.is_empty()).then_some(references)
}

/// A plain variable.
pub(super) fn variable(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
    }
}

/// A variable that says where to listen.
pub(super) fn listens(name: &str, port: i32) -> EnvVar {
    variable(name, format!("0.0.0.0:{port}"))
}

/// A variable from a Secret.
pub(super) fn secret_variable(name: &str, secret: String, key: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret,
                key: key.into(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// A port by name.
pub(super) fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port,
        ..ContainerPort::default()
    }
}

/// A GET that must be answered with 2xx.
pub(super) fn http_probe(path: &str, port: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::Int(port),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

/// Requests and limits as the Shop has them.
pub(super) fn requirements(spec: &ResourcesSpec) -> ResourceRequirements {
    let amounts =
        |amounts: &Option<AmountsSpec>| amounts.as_ref().map(BTreeMap::from).unwrap_or_default();
    resources(&amounts(&spec.requests), &amounts(&spec.limits))
}

/// Requests and limits.
fn resources(
    requests: &BTreeMap<String, String>,
    limits: &BTreeMap<String, String>,
) -> ResourceRequirements {
    let quantities = |amounts: &BTreeMap<String, String>| {
        Some(
            amounts
                .iter()
                .map(|(name, amount)| (name.clone(), Quantity(amount.clone())))
                .collect(),
        )
    };
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        claims: None,
    }
}

/// An emptyDir with a bound, and where it is mounted.
pub(super) fn scratch(name: &str, path: &str, limit: &str) -> (Volume, VolumeMount) {
    let volume = Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(limit.into())),
            medium: None,
        }),
        ..Volume::default()
    };
    (volume, mount(name, path))
}

/// Where a volume is mounted.
pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        ..VolumeMount::default()
    }
}
