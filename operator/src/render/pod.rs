//! What pods have in common: security contexts, probes, environment, amounts.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
        LocalObjectReference, PodSecurityContext, Probe, ResourceRequirements, SeccompProfile,
        SecretKeySelector, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use crate::validate::ValidShop;

/// The user of everything but PostgreSQL.
pub(super) const NONROOT: i64 = 65532;

/// The last lines of the log of a container that failed stand in the pod's status, from where the Shop's status quotes them.
pub(super) const LAST_WORDS: &str = "FallbackToLogsOnError";

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

/// Requests and limits.
pub(super) fn resources(
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

/// Requests of CPU and memory and a limit of memory. No limit of CPU: it would only slow.
pub(super) fn amounts(cpu: &str, memory: &str, memory_limit: &str) -> ResourceRequirements {
    resources(
        &BTreeMap::from([("cpu".into(), cpu.into()), ("memory".into(), memory.into())]),
        &BTreeMap::from([("memory".into(), memory_limit.into())]),
    )
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
