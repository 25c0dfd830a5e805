//! What pods may that those of services may not. Pure.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, Container, PodSecurityContext, PodSpec, PodTemplateSpec,
    SeccompProfile, SecurityContext, Volume, WindowsSecurityContextOptions,
};

use crate::{
    naming::names::{self, ServiceName},
    objects::pod,
};

/// What the pods of a service have of their own.
pub(super) struct Protection {
    /// Their ServiceAccount.
    account: String,
    /// The Secrets that are made for the service.
    secrets: [String; 3],
}

impl Protection {
    pub(super) fn of(shop: &str, service: &ServiceName) -> Self {
        Self {
            account: names::service(shop, service),
            secrets: [
                names::database(shop, service),
                names::broker_login(shop, service),
                names::keys(shop, service),
            ],
        }
    }

    /// As much of a template as protects.
    pub(super) fn template(&self, container: &str) -> PodTemplateSpec {
        PodTemplateSpec {
            metadata: None,
            spec: Some(PodSpec {
                service_account_name: Some(self.account.clone()),
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

    /// What a pod lacks of it.
    pub(super) fn lacks(&self, pod: &PodSpec) -> Vec<String> {
        let mut what = shared(pod);
        what.extend(self.login(pod));
        let volumes = pod.volumes.iter().flatten();
        what.extend(volumes.flat_map(|volume| self.volume(volume)));
        let none = PodSecurityContext::default();
        let of_pod = pod.security_context.as_ref().unwrap_or(&none);
        let sysctls = of_pod.sysctls.iter().flatten();
        what.extend(sysctls.map(|sysctl| format!("pods set {} of the kernel", sysctl.name)));
        let containers = pod.init_containers.iter().flatten();
        for container in containers.chain(&pod.containers) {
            let mut may = may(of_pod, container);
            may.extend(self.read_by(container));
            if !may.is_empty() {
                let (name, may) = (&container.name, may.join(" and "));
                what.push(format!("container {name} {may}"));
            }
        }
        what
    }

    fn login(&self, pod: &PodSpec) -> Vec<String> {
        let mut what = Vec::new();
        if pod.automount_service_account_token != Some(false) {
            what.push("pods have a login at the API server".into());
        }
        let names = [&pod.service_account_name, &pod.service_account];
        let named = names.into_iter().flatten().find(|name| !name.is_empty());
        let account = named.map_or("default", String::as_str);
        if account != self.account {
            what.push(format!("pods are ServiceAccount {account}"));
        }
        what
    }

    fn volume(&self, volume: &Volume) -> Vec<String> {
        let mut what = Vec::new();
        let name = &volume.name;
        if volume.host_path.is_some() {
            what.push(format!("volume {name} is a folder of the node"));
        }
        let projected = volume.projected.iter();
        let sources = projected.flat_map(|projected| projected.sources.iter().flatten());
        let mut tokens = sources.clone();
        if tokens.any(|source| source.service_account_token.is_some()) {
            what.push(format!("volume {name} holds a token of the ServiceAccount"));
        }
        let whole = volume.secret.iter();
        let whole = whole.filter_map(|secret| secret.secret_name.as_deref());
        let parts = sources.filter_map(|source| Some(source.secret.as_ref()?.name.as_str()));
        let foreign = whole.chain(parts).filter(|secret| !self.has(secret));
        what.extend(foreign.map(|secret| format!("volume {name} holds Secret {secret}")));
        what
    }

    /// The Secrets that are not the service's own and that a container reads.
    fn read_by(&self, container: &Container) -> Vec<String> {
        let variables = container.env.iter().flatten();
        let single = variables.filter_map(|variable| {
            let source = variable.value_from.as_ref()?;
            Some(source.secret_key_ref.as_ref()?.name.as_str())
        });
        let all = container.env_from.iter().flatten();
        let all = all.filter_map(|source| Some(source.secret_ref.as_ref()?.name.as_str()));
        let mut foreign: Vec<_> = single
            .chain(all)
            .filter(|secret| !self.has(secret))
            .collect();
        foreign.sort_unstable();
        foreign.dedup();
        let reads = foreign.into_iter();
        reads
            .map(|secret| format!("reads Secret {secret}"))
            .collect()
    }

    fn has(&self, secret: &str) -> bool {
        self.secrets.iter().any(|own| own == secret)
    }
}

fn shared(pod: &PodSpec) -> Vec<String> {
    let shared = [
        ("network", pod.host_network),
        ("processes", pod.host_pid),
        ("memory for processes", pod.host_ipc),
    ];
    let shared = shared.into_iter().filter(|(_, is)| *is == Some(true));
    shared
        .map(|(of_node, _)| format!("pods share the node's {of_node}"))
        .collect()
}

/// What a container may; what it says itself counts before what its pod does.
fn may(pod: &PodSecurityContext, container: &Container) -> Vec<String> {
    let none = SecurityContext::default();
    let own = container.security_context.as_ref().unwrap_or(&none);
    let user = own.run_as_user.or(pod.run_as_user);
    let non_root = own.run_as_non_root.or(pod.run_as_non_root) == Some(true);
    let seccomp = own.seccomp_profile.as_ref();
    let seccomp = seccomp.or(pod.seccomp_profile.as_ref());
    let armor = own.app_armor_profile.as_ref();
    let armor = armor.or(pod.app_armor_profile.as_ref());
    let windows = own.windows_options.as_ref();
    let windows = windows.or(pod.windows_options.as_ref());
    let labels = own.se_linux_options.as_ref();
    let labels = labels.or(pod.se_linux_options.as_ref());
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
        (is_unconfined(armor), "is not held back by AppArmor"),
        (labels.is_some(), "has other labels of SELinux"),
        (
            own.proc_mount.as_deref() == Some("Unmasked"),
            "sees all of /proc",
        ),
        (is_of_node(windows), "is a process of the node"),
        (
            ports.any(|port| port.host_port.is_some()),
            "has a port of the node",
        ),
    ];
    let may = may.into_iter().filter(|(is, _)| *is);
    may.map(|(_, what)| what.to_owned()).collect()
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

fn is_unconfined(armor: Option<&AppArmorProfile>) -> bool {
    armor.is_some_and(|profile| profile.type_ == "Unconfined")
}

fn is_of_node(windows: Option<&WindowsSecurityContextOptions>) -> bool {
    windows.is_some_and(|options| options.host_process == Some(true))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::{Job, JobSpec};
    use serde_json::{Value, json};

    use super::*;
    use crate::objects::overrides;

    fn of(template: Value) -> Vec<String> {
        let protection = Protection::of("demo", &"own".into());
        let mut job = Job {
            spec: Some(JobSpec {
                template: protection.template("own"),
                ..JobSpec::default()
            }),
            ..Job::default()
        };
        let patch = json!({"spec": {"template": {"spec": template}}});
        overrides::put(&mut job, patch.as_object().expect("fields")).expect("a Job");
        let pod = job.spec.and_then(|spec| spec.template.spec);
        protection.lacks(&pod.expect("a pod"))
    }

    /// A container in which something of its own is otherwise.
    fn container(mut fields: Value) -> Value {
        fields["name"] = "own".into();
        json!({"containers": [fields]})
    }

    fn context(context: Value) -> Value {
        container(json!({"securityContext": context}))
    }

    fn variable(source: Value) -> Value {
        container(json!({"env": [{"name": "A", "valueFrom": source}]}))
    }

    #[test]
    fn what_takes_nothing_is_not_told() {
        let beside = json!({"name": "beside", "securityContext": pod::container_security()});
        let own = json!({"name": "own", "securityContext": {"runAsUser": 7}});
        for template in [
            json!({"containers": [own, beside], "hostNetwork": false}),
            // The user that the cluster names instead.
            json!({"securityContext": {"runAsUser": {"$patch": "delete"}, "fsGroup": {"$patch": "delete"}}}),
            json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}, "windowsOptions": {"hostProcess": false}}}),
            json!({"serviceAccountName": "demo-own"}),
            json!({"volumes": [
                {"name": "a", "secret": {"secretName": "demo-own-keys"}},
                {"name": "b", "projected": {"sources": [{"secret": {"name": "demo-own-db"}}, {"configMap": {"name": "c"}}]}},
            ]}),
            variable(json!({"secretKeyRef": {"name": "demo-own-broker", "key": "url"}})),
            variable(json!({"configMapKeyRef": {"name": "any", "key": "k"}})),
            context(json!({"procMount": "Default"})),
        ] {
            assert_eq!(of(template.clone()), [""; 0], "{template}");
        }
    }

    #[test]
    fn each_right_that_a_pod_gets_is_told() {
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
                json!({"serviceAccountName": "admin"}),
                "pods are ServiceAccount admin",
            ),
            (
                json!({"serviceAccountName": {"$patch": "delete"}, "serviceAccount": "admin"}),
                "pods are ServiceAccount admin",
            ),
            (
                json!({"serviceAccountName": {"$patch": "delete"}}),
                "pods are ServiceAccount default",
            ),
            (
                json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
                "volume v is a folder of the node",
            ),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
                "volume v holds a token of the ServiceAccount",
            ),
            (
                json!({"volumes": [{"name": "v", "secret": {"secretName": "demo-other-keys"}}]}),
                "volume v holds Secret demo-other-keys",
            ),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "theirs"}}]}}]}),
                "volume v holds Secret theirs",
            ),
            (
                json!({"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "9"}]}}),
                "pods set net.core.somaxconn of the kernel",
            ),
        ] {
            assert_eq!(of(template.clone()), [told], "{template}");
        }
    }

    #[test]
    fn each_right_that_a_container_gets_is_told() {
        let theirs = json!({"name": "theirs", "key": "k"});
        for (template, told) in [
            (context(json!({"privileged": true})), "is privileged"),
            (context(json!({"runAsUser": 0})), "may run as root"),
            (
                json!({"securityContext": {"runAsNonRoot": {"$patch": "delete"}}}),
                "may run as root",
            ),
            (
                context(json!({"allowPrivilegeEscalation": true})),
                "may get more rights",
            ),
            (
                context(json!({"readOnlyRootFilesystem": false})),
                "may write to its file system",
            ),
            (
                context(json!({"capabilities": {"add": ["NET_ADMIN"]}})),
                "has capabilities",
            ),
            (
                json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
                "may use all system calls",
            ),
            (
                context(json!({"appArmorProfile": {"type": "Unconfined"}})),
                "is not held back by AppArmor",
            ),
            (
                json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
                "is not held back by AppArmor",
            ),
            (
                context(json!({"seLinuxOptions": {"type": "spc_t"}})),
                "has other labels of SELinux",
            ),
            (
                json!({"securityContext": {"seLinuxOptions": {"level": "s0"}}}),
                "has other labels of SELinux",
            ),
            (
                context(json!({"procMount": "Unmasked"})),
                "sees all of /proc",
            ),
            (
                json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
                "is a process of the node",
            ),
            (
                context(json!({"windowsOptions": {"hostProcess": true}})),
                "is a process of the node",
            ),
            (
                container(json!({"ports": [{"containerPort": 1, "hostPort": 1}]})),
                "has a port of the node",
            ),
            (
                variable(json!({"secretKeyRef": theirs})),
                "reads Secret theirs",
            ),
            (
                container(json!({"envFrom": [{"secretRef": {"name": "theirs"}}]})),
                "reads Secret theirs",
            ),
        ] {
            let told = format!("container own {told}");
            assert_eq!(of(template.clone()), [told], "{template}");
        }
        assert_eq!(
            of(json!({"containers": [{"name": "beside"}]})),
            [
                "container beside may get more rights and may write to its file system and has capabilities"
            ]
        );
    }
}
