//! What pods may that those of services may not. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, Container, PodSecurityContext, PodSpec, PodTemplateSpec,
    SeccompProfile, SecurityContext, Volume, WindowsSecurityContextOptions,
};

use crate::{
    definition::built_in::OTLP_HEADERS,
    model::validate::{ValidService, ValidShop},
    naming::names,
    objects::{
        deployment::{environment, secrets_of},
        telemetry::CA_VOLUME,
    },
};

/// Before the name of a container: its profile of AppArmor, as it was said before pods had a field for it.
const ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What the pods of a service have of their own.
pub(super) struct Protection {
    /// Their ServiceAccount.
    account: String,
    /// The Secrets that are made for the service, and those that the Shop lets it read.
    secrets: BTreeSet<String>,
    /// Those that the Shop names for the collector of traces.
    headers: Option<String>,
    certificates: Option<String>,
    sends_mail: bool,
    /// They look after the Shop.
    operates: bool,
}

impl Protection {
    pub(super) fn of(shop: &ValidShop, service: &ValidService, operates: bool) -> Self {
        let guests = shop.services.values().filter(|_| service.hosts);
        let env = guests.chain([service]);
        let env: Vec<_> = env
            .flat_map(|service| environment(shop, service, 0))
            .collect();
        let reads = secrets_of(&env).map(str::to_owned);
        let name = &service.name;
        let made = [
            names::database(&shop.name, name),
            names::broker_login(&shop.name, name),
            names::keys(&shop.name, name),
        ];
        Self {
            account: names::service(&shop.name, name),
            secrets: reads.chain(made).collect(),
            headers: shop.otlp_headers.as_ref().map(|from| from.name.clone()),
            certificates: shop.otlp_ca.as_ref().map(|from| from.name.clone()),
            sends_mail: service.hosts || service.definition.sends_mail,
            operates,
        }
    }

    /// What pods of this template lack of it.
    pub(super) fn lacks(&self, template: &PodTemplateSpec) -> Vec<String> {
        let Some(pod) = &template.spec else {
            return Vec::new();
        };
        let mut what = shared(pod);
        what.extend(unarmed(template));
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
        if pod.automount_service_account_token != Some(false) && !self.operates {
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
        if let Some(claim) = &volume.persistent_volume_claim {
            let claim = &claim.claim_name;
            what.push(format!("volume {name} is PersistentVolumeClaim {claim}"));
        }
        if let Some(csi) = &volume.csi {
            let driver = &csi.driver;
            what.push(format!("volume {name} is filled by {driver}"));
        }
        let projected = volume.projected.iter();
        let sources = projected.flat_map(|projected| projected.sources.iter().flatten());
        let mut tokens = sources.clone();
        if tokens.any(|source| source.service_account_token.is_some()) {
            what.push(format!("volume {name} holds a token of the ServiceAccount"));
        }
        let whole = volume.secret.iter();
        let whole = whole.filter_map(|secret| secret.secret_name.as_deref());
        let certificates = self.certificates.as_deref();
        let whole = whole.filter(|secret| name != CA_VOLUME || certificates != Some(*secret));
        let parts = sources.filter_map(|source| Some(source.secret.as_ref()?.name.as_str()));
        let foreign = whole.chain(parts).filter(|secret| !self.has(secret));
        what.extend(foreign.map(|secret| format!("volume {name} holds Secret {secret}")));
        what
    }

    /// The Secrets that are not the service's own and that a container reads.
    fn read_by(&self, container: &Container) -> Vec<String> {
        let env = container.env.iter().flatten();
        // The login of the mail server is the user's own, and the one that a template was kept with may be another than today's.
        let env = env.filter(|variable| !(self.sends_mail && variable.name.starts_with("SMTP_")));
        let env = env.filter(|variable| {
            let mut read = secrets_of(std::slice::from_ref(*variable));
            variable.name != OTLP_HEADERS || read.next() != self.headers.as_deref()
        });
        let env: Vec<_> = env.cloned().collect();
        let single = secrets_of(&env);
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
        self.secrets.contains(secret)
    }
}

fn unarmed(template: &PodTemplateSpec) -> Vec<String> {
    let metadata = template.metadata.iter();
    let annotations = metadata.flat_map(|metadata| metadata.annotations.iter().flatten());
    let unconfined = annotations.filter_map(|(key, profile)| {
        let container = key.strip_prefix(ARMOR_ANNOTATION)?;
        (profile == "unconfined").then_some(container)
    });
    unconfined
        .map(|container| format!("container {container} is not held back by AppArmor"))
        .collect()
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
    let group = own.run_as_group.or(pod.run_as_group);
    let mut groups = pod.supplemental_groups.iter().flatten();
    let is_of_roots = groups.any(|group| *group == 0) || pod.fs_group == Some(0);
    let may = [
        (own.privileged == Some(true), "is privileged"),
        (!non_root || user == Some(0), "may run as root"),
        (group == Some(0) || is_of_roots, "is of the group of root"),
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
    use crate::objects::{overrides, pod};

    /// What pods have as the operator renders them.
    fn protected() -> PodTemplateSpec {
        PodTemplateSpec {
            metadata: None,
            spec: Some(PodSpec {
                service_account_name: Some("demo-own".into()),
                automount_service_account_token: Some(false),
                security_context: Some(pod::security(pod::NONROOT)),
                containers: vec![Container {
                    name: "own".into(),
                    security_context: Some(pod::container_security()),
                    ..Container::default()
                }],
                ..PodSpec::default()
            }),
        }
    }

    fn of(spec: Value) -> Vec<String> {
        of_template(json!({"spec": spec}))
    }

    fn of_template(template: Value) -> Vec<String> {
        let protection = Protection {
            account: "demo-own".into(),
            secrets: ["db", "broker", "keys"]
                .map(|of| format!("demo-own-{of}"))
                .into(),
            headers: Some("headers".into()),
            certificates: Some("certificates".into()),
            sends_mail: false,
            operates: false,
        };
        let mut job = Job {
            spec: Some(JobSpec {
                template: protected(),
                ..JobSpec::default()
            }),
            ..Job::default()
        };
        let patch = json!({"spec": {"template": template}});
        overrides::put(&mut job, patch.as_object().expect("fields")).expect("a Job");
        protection.lacks(&job.spec.expect("a specification").template)
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

    /// What a container is told to show to the collector of traces.
    fn headers(from: Value) -> Value {
        let source = json!({"secretKeyRef": from});
        container(json!({"env": [{"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": source}]}))
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
            json!({"volumes": [{"name": "otlp-ca", "secret": {"secretName": "certificates"}}]}),
            headers(json!({"name": "headers", "key": "k"})),
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
                json!({"volumes": [{"name": "otlp-ca", "secret": {"secretName": "theirs"}}]}),
                "volume otlp-ca holds Secret theirs",
            ),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "theirs"}}]}}]}),
                "volume v holds Secret theirs",
            ),
            (
                json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data-demo-other-db-0"}}]}),
                "volume v is PersistentVolumeClaim data-demo-other-db-0",
            ),
            (
                json!({"volumes": [{"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io"}}]}),
                "volume v is filled by secrets-store.csi.k8s.io",
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
            (context(json!({"runAsGroup": 0})), "is of the group of root"),
            (
                json!({"securityContext": {"fsGroup": 0}}),
                "is of the group of root",
            ),
            (
                json!({"securityContext": {"supplementalGroups": [5, 0]}}),
                "is of the group of root",
            ),
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
                headers(json!({"name": "theirs", "key": "k"})),
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
        let unarmed = json!({"container.apparmor.security.beta.kubernetes.io/own": "unconfined"});
        assert_eq!(
            of_template(json!({"metadata": {"annotations": unarmed}})),
            ["container own is not held back by AppArmor"]
        );
        assert_eq!(
            of(json!({"containers": [{"name": "beside"}]})),
            [
                "container beside may get more rights and may write to its file system and has capabilities"
            ]
        );
    }
}
