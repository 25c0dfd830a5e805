//! What overrides take from the protection that all pods and connections of services have, in words. Pure.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile,
    SecurityContext,
};
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec},
    batch::v1::{Job, JobSpec},
};

use super::{overrides, pod};
use crate::{
    api::OverrideKind,
    model::validate::{ValidService, ValidShop},
    naming::names::MIGRATION_CONTAINER,
};

/// One sentence for each override that does.
pub fn weakened(shop: &ValidShop) -> Vec<String> {
    let services = shop.services.values();
    services.flat_map(of_service).collect()
}

fn of_service(service: &ValidService) -> Vec<String> {
    let mut sentences = Vec::new();
    for (number, of) in service.overrides.iter().enumerate() {
        let what = match of.kind {
            OverrideKind::Deployment => {
                let mut deployment = Deployment {
                    spec: Some(DeploymentSpec {
                        template: protected(service.name.as_str()),
                        ..DeploymentSpec::default()
                    }),
                    ..Deployment::default()
                };
                overrides::put(&mut deployment, &of.patch);
                deployment
                    .spec
                    .and_then(|spec| spec.template.spec)
                    .map(of_pod)
            }
            OverrideKind::Job => {
                let mut job = Job {
                    spec: Some(JobSpec {
                        template: protected(MIGRATION_CONTAINER),
                        ..JobSpec::default()
                    }),
                    ..Job::default()
                };
                overrides::put(&mut job, &of.patch);
                job.spec.and_then(|spec| spec.template.spec).map(of_pod)
            }
            OverrideKind::NetworkPolicy => of.patch.contains_key("spec").then(|| {
                vec!["who may connect is no longer what the documents of the services say".into()]
            }),
            OverrideKind::Service
            | OverrideKind::HorizontalPodAutoscaler
            | OverrideKind::PodDisruptionBudget
            | OverrideKind::ServiceAccount => None,
        };
        let what = what.unwrap_or_default();
        if !what.is_empty() {
            let kind: &str = of.kind.into();
            let name = &service.name;
            sentences.push(format!(
                "spec.services.{name}.overrides[{number}] ({kind}): {}",
                what.join(", ")
            ));
        }
    }
    sentences
}

/// As much of a template as protects.
fn protected(container: &str) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: None,
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            security_context: Some(pod::security(pod::NONROOT)),
            containers: vec![Container {
                name: container.into(),
                security_context: Some(pod::container_security()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
    }
}

fn of_pod(pod: PodSpec) -> Vec<String> {
    let mut what = Vec::new();
    let shared = [
        ("network", pod.host_network),
        ("processes", pod.host_pid),
        ("memory for processes", pod.host_ipc),
    ];
    for (of_node, is_shared) in shared {
        if is_shared == Some(true) {
            what.push(format!("pods share the node's {of_node}"));
        }
    }
    if pod.automount_service_account_token != Some(false) {
        what.push("pods have a login at the API server".into());
    }
    for volume in pod.volumes.iter().flatten() {
        if volume.host_path.is_some() {
            what.push(format!("volume {} is a folder of the node", volume.name));
        }
    }
    let of_pod = pod.security_context.unwrap_or_default();
    let containers = pod.init_containers.iter().flatten();
    for container in containers.chain(&pod.containers) {
        let may = of_container(&of_pod, container);
        if !may.is_empty() {
            what.push(format!(
                "container {} {}",
                container.name,
                may.join(" and ")
            ));
        }
    }
    what
}

fn of_container(pod: &PodSecurityContext, container: &Container) -> Vec<&'static str> {
    let none = SecurityContext::default();
    let own = container.security_context.as_ref().unwrap_or(&none);
    let user = own.run_as_user.or(pod.run_as_user);
    let non_root = own.run_as_non_root.or(pod.run_as_non_root) == Some(true);
    let seccomp = own
        .seccomp_profile
        .as_ref()
        .or(pod.seccomp_profile.as_ref());
    let mut ports = container.ports.iter().flatten();
    let may = [
        (own.privileged == Some(true), "is privileged"),
        (!non_root || user == Some(0), "may run as root"),
        (
            own.allow_privilege_escalation != Some(false),
            "may get more rights",
        ),
        (
            own.read_only_root_filesystem != Some(true),
            "may write to its file system",
        ),
        (!drops_all(own.capabilities.as_ref()), "has capabilities"),
        (!is_confined(seccomp), "may use all system calls"),
        (
            ports.any(|port| port.host_port.is_some()),
            "has a port of the node",
        ),
    ];
    may.into_iter()
        .filter_map(|(is, what)| is.then_some(what))
        .collect()
}

fn drops_all(capabilities: Option<&Capabilities>) -> bool {
    capabilities.is_some_and(|capabilities| {
        let mut drop = capabilities.drop.iter().flatten();
        let adds = capabilities.add.iter().flatten().next().is_some();
        !adds && drop.any(|name| name == "ALL")
    })
}

fn is_confined(seccomp: Option<&SeccompProfile>) -> bool {
    seccomp.is_some_and(|profile| matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(template: Value) -> Vec<String> {
        let mut job = Job {
            spec: Some(JobSpec {
                template: protected("own"),
                ..JobSpec::default()
            }),
            ..Job::default()
        };
        let patch = json!({"spec": {"template": {"spec": template}}});
        overrides::put(&mut job, patch.as_object().expect("fields"));
        job.spec
            .and_then(|spec| spec.template.spec)
            .map(of_pod)
            .expect("a pod")
    }

    #[test]
    fn what_takes_nothing_is_not_told() {
        let beside = json!({"name": "beside", "securityContext": pod::container_security()});
        let own = json!({"name": "own", "securityContext": {"runAsUser": 7}});
        assert_eq!(
            of(json!({"containers": [own, beside], "hostNetwork": false})),
            [""; 0]
        );
        // The user that the cluster names instead.
        let free = json!({"runAsUser": {"$patch": "delete"}, "fsGroup": {"$patch": "delete"}});
        assert_eq!(of(json!({"securityContext": free})), [""; 0]);
    }

    #[test]
    fn each_thing_that_protects_is_told_when_it_goes() {
        let own =
            |context: Value| json!({"containers": [{"name": "own", "securityContext": context}]});
        for (template, told) in [
            (
                json!({"hostNetwork": true}),
                "pods share the node's network",
            ),
            (
                json!({"automountServiceAccountToken": true}),
                "pods have a login at the API server",
            ),
            (
                json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
                "volume v is a folder of the node",
            ),
            (
                own(json!({"privileged": true})),
                "container own is privileged",
            ),
            (
                own(json!({"runAsUser": 0})),
                "container own may run as root",
            ),
            (
                json!({"securityContext": {"runAsNonRoot": {"$patch": "delete"}}}),
                "container own may run as root",
            ),
            (
                own(json!({"allowPrivilegeEscalation": true})),
                "container own may get more rights",
            ),
            (
                own(json!({"readOnlyRootFilesystem": false})),
                "container own may write to its file system",
            ),
            (
                own(json!({"capabilities": {"add": ["NET_ADMIN"]}})),
                "container own has capabilities",
            ),
            (
                json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
                "container own may use all system calls",
            ),
            (
                json!({"containers": [{"name": "own", "ports": [{"containerPort": 1, "hostPort": 1}]}]}),
                "container own has a port of the node",
            ),
            (
                json!({"containers": [{"name": "beside"}]}),
                "container beside may get more rights and may write to its file system and has capabilities",
            ),
        ] {
            assert_eq!(of(template), [told]);
        }
    }
}
