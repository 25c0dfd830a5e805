//! The Deployment of a service. It never names a count of replicas: who decides about that is `validate::Replicas`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, ContainerPort, EnvVar, Lifecycle, LifecycleHandler, PodSpec,
            PodTemplateSpec, Probe, SleepAction, TopologySpreadConstraint, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{host, pod, revision, telemetry};
use crate::{
    api::EmailSpec,
    connections::{per_pool, per_process},
    definition::{PortsDefinition, built_in::OPERATED_SHOP},
    facts::{Contents, location::HOSTS_ANNOTATION},
    hash::Fingerprint,
    model::{
        metadata,
        place::Server,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{Component, SERVES_LABEL, VERSION_LABEL},
        names,
        ports::GRPC_PORT,
    },
    progress::decide::{Decision, Release},
};

/// Changes when the content of a Secret changes that the pods read, so that they roll.
pub(super) const SETTINGS_ANNOTATION: &str = "shopkeeper.dev/settings";
/// Endpoints need this long to forget a pod that ends; the image has no shell to sleep with.
const DRAIN_SECONDS: i64 = 5;
/// `DRAIN_SECONDS`, the 25 s in which a service finishes, and some air.
const GRACE_SECONDS: i64 = 35;

/// The Deployment of a service. `contents` are those of all Secrets that pods may read.
pub fn deployment(
    shop: &ValidShop,
    service: &ValidService,
    runs: &Release,
    decision: &Decision,
    contents: &Contents<'_>,
) -> Deployment {
    let app = service.name.as_str();
    let mut metadata = metadata::object(
        shop,
        names::service(&shop.name, &service.name),
        app,
        Component::Service,
    );
    metadata
        .labels
        .get_or_insert_default()
        .extend(version_label(&runs.version));
    if service.hosts {
        let guests = host::list(&decision.guests);
        metadata.annotations = Some([(HOSTS_ANNOTATION.into(), guests)].into());
    }
    let mut deployment = Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            selector: metadata::selector(shop, app, Component::Service),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(3),
            progress_deadline_seconds: i32::try_from(shop.rollout.deadline.as_secs()).ok(),
            template: template(shop, service, runs, decision, contents),
            ..DeploymentSpec::default()
        }),
        status: None,
    };
    revision::stamp(&mut deployment);
    deployment
}

/// The version as a label, where it can be one.
pub fn version_label(version: &Option<String>) -> Option<(String, String)> {
    version
        .clone()
        .map(|version| (VERSION_LABEL.into(), version))
}

fn template(
    shop: &ValidShop,
    service: &ValidService,
    runs: &Release,
    decision: &Decision,
    contents: &Contents<'_>,
) -> PodTemplateSpec {
    let mut labels = metadata::labels(shop, service.name.as_str(), Component::Service);
    labels.extend(version_label(&runs.version));
    if !service.hosts {
        labels.insert(SERVES_LABEL.into(), service.name.to_string());
    }
    let stream_size = decision.stream_size;
    let mut env = environment(shop, service, stream_size);
    let mut ports = ports(service);
    let mut folders = scratch(service);
    if service.hosts {
        let guests = &decision.guests;
        env.extend(host::guests_environment(shop, guests, stream_size));
        ports.extend(host::guests_ports(shop, guests));
        folders.extend(host::guests_scratch(shop, guests));
    }
    folders.extend(telemetry::certificates(shop, &env));
    let mut annotations = telemetry::annotations(shop, service);
    if service.hosts {
        annotations.insert(HOSTS_ANNOTATION.into(), host::list(&decision.guests));
    }
    let (volumes, mounts): (Vec<_>, Vec<_>) = folders.into_iter().unzip();
    let some = |volumes: Vec<_>| (!volumes.is_empty()).then_some(volumes);
    let pod = pod::scheduled(
        &service.scheduling,
        PodSpec {
            service_account_name: Some(names::service(&shop.name, &service.name)),
            automount_service_account_token: Some(operates(shop, service, decision)),
            enable_service_links: Some(false),
            security_context: Some(pod::security(pod::NONROOT)),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            image_pull_secrets: pod::pull_secrets(shop),
            topology_spread_constraints: Some(vec![spread(shop, service)]),
            volumes: some(volumes),
            containers: vec![Container {
                env: Some(env),
                ports: Some(ports),
                volume_mounts: (!mounts.is_empty()).then_some(mounts),
                ..container(shop, service, runs)
            }],
            ..PodSpec::default()
        },
    );
    let settings = secret_contents(secrets_read_by(&pod), contents);
    annotations.insert(SETTINGS_ANNOTATION.into(), settings);
    PodTemplateSpec {
        metadata: Some(pod::metadata(service, labels, annotations)),
        spec: Some(pod),
    }
}

/// Whether it looks after the Shop, or one does that it hosts.
fn operates(shop: &ValidShop, service: &ValidService, decision: &Decision) -> bool {
    let mut guests = host::among(shop, &decision.guests);
    service.operates || (service.hosts && guests.any(|guest| guest.operates))
}

fn container(shop: &ValidShop, service: &ValidService, runs: &Release) -> Container {
    let ports = &service.definition.ports;
    Container {
        name: service.name.to_string(),
        image: Some(runs.image.clone()),
        image_pull_policy: Some(shop.pull_policy.as_str().into()),
        args: Some(service.definition.serve.clone()),
        resources: Some(pod::requirements(&service.resources)),
        // No startup probe: a service listens within 100 ms, and one that waits for its database must not be restarted.
        readiness_probe: Some(Probe {
            period_seconds: Some(1),
            timeout_seconds: Some(2),
            failure_threshold: Some(5),
            ..pod::http_probe("/readyz", ports.admin)
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            timeout_seconds: Some(5),
            failure_threshold: Some(6),
            ..pod::http_probe("/livez", ports.admin)
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: DRAIN_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        security_context: Some(pod::container_security()),
        termination_message_policy: Some(pod::LAST_WORDS.into()),
        ..Container::default()
    }
}

/// The host itself has its administration alone.
fn ports(service: &ValidService) -> Vec<ContainerPort> {
    let ports = &service.definition.ports;
    let http = (!service.hosts).then(|| pod::port("http", ports.http));
    let admin = pod::port("admin", ports.admin);
    let grpc = ports.grpc.map(|number| pod::port("grpc", number));
    http.into_iter().chain([admin]).chain(grpc).collect()
}

/// Settings in the order: addresses and logins, the service's own, telemetry, and last what the Shop adds. A variable of
/// the Shop takes the place of one of ours; admission lets it do so only where that is meant.
pub(super) fn environment(
    shop: &ValidShop,
    service: &ValidService,
    stream_size: u64,
) -> Vec<EnvVar> {
    let definition = &service.definition;
    let mut env = addresses(service);
    env.extend(backends(shop, service));
    if service.limits_stream {
        env.push(pod::variable("EVENTS_MAX_BYTES", stream_size.to_string()));
    }
    if let Some(connections) = connections(shop, service)
        && definition.database.is_some()
    {
        let connections = connections.to_string();
        env.push(pod::variable("DATABASE_MAX_CONNECTIONS", connections));
    }
    env.extend(calls(shop, service));
    let own = names::keys(&shop.name, &service.name);
    let keys = shop.keys_of(service);
    env.extend(keys.map(|key| pod::secret_variable(&key.name, own.clone(), &key.name)));
    let settings = definition.settings.iter();
    env.extend(settings.map(|setting| pod::variable(&setting.name, &setting.value)));
    let folders = definition.scratch.iter();
    env.extend(folders.map(|folder| pod::variable(&folder.variable, &folder.path)));
    if definition.sends_mail {
        env.extend(shop.email.iter().flat_map(mail));
    }
    if service.operates {
        env.push(pod::variable(OPERATED_SHOP, &shop.name));
    }
    env.extend(telemetry::environment(shop));
    for extra in &service.env {
        env.retain(|ours| ours.name != extra.name);
        env.push(pod::variable(&extra.name, &extra.value));
    }
    env
}

/// The bound of its pool of connections; none where the default fits, or where someone else decides how many pods run.
fn connections(shop: &ValidShop, service: &ValidService) -> Option<i32> {
    match service.server {
        Server::Own => shop.carrier(service).most_pods().and_then(per_process),
        Server::Host => per_pool(shop.pools_at(shop.server_of(service))),
    }
}

/// Where it listens, unless that is where every service does.
fn addresses(service: &ValidService) -> Vec<EnvVar> {
    let (ports, usual) = (&service.definition.ports, PortsDefinition::default());
    let mut env = Vec::new();
    if (ports.http, ports.admin) != (usual.http, usual.admin) {
        env.push(pod::listens("HTTP_ADDR", ports.http));
        env.push(pod::listens("ADMIN_ADDR", ports.admin));
    }
    if let Some(port) = ports.grpc.filter(|port| *port != GRPC_PORT) {
        env.push(pod::listens("GRPC_ADDR", port));
    }
    env
}

/// Its logins at the database, where it has one, and at the broker.
fn backends(shop: &ValidShop, service: &ValidService) -> Vec<EnvVar> {
    let database = service.definition.database.map(|_| {
        let login = names::database(&shop.name, &service.name);
        pod::secret_variable("DATABASE_URL", login, "url")
    });
    let login = names::broker_login(&shop.name, &service.name);
    let broker = pod::secret_variable("NATS_URL", login, "url");
    let broker = (!service.hosts).then_some(broker);
    database.into_iter().chain(broker).collect()
}

/// Addresses of the services that it calls, and what it shows them.
fn calls(shop: &ValidShop, service: &ValidService) -> Vec<EnvVar> {
    let mut env = Vec::new();
    for call in &service.definition.calls {
        let Some(callee) = shop.services.get(call.service.as_str()) else {
            continue;
        };
        let Some(port) = callee.definition.ports.of(call.protocol) else {
            continue;
        };
        let (scheme, host) = (
            call.protocol.scheme(),
            names::service(&shop.name, &callee.name),
        );
        env.push(pod::variable(
            &call.url,
            format!("{scheme}://{host}:{port}"),
        ));
        if let Some(token) = &call.token {
            let keys = names::keys(&shop.name, &callee.name);
            env.push(pod::secret_variable(&token.variable, keys, &token.key));
        }
    }
    env
}

fn mail(email: &EmailSpec) -> Vec<EnvVar> {
    let mut env = vec![pod::variable("MAIL_FROM", &email.from)];
    let Some(smtp) = &email.smtp else { return env };
    env.push(pod::variable("SMTP_HOST", &smtp.host));
    env.push(pod::variable("SMTP_PORT", smtp.port().to_string()));
    env.push(pod::variable("SMTP_TLS", smtp.tls().as_str()));
    if let Some(login) = &smtp.credentials_from {
        env.push(pod::secret_variable(
            "SMTP_USERNAME",
            login.name.clone(),
            "username",
        ));
        env.push(pod::secret_variable(
            "SMTP_PASSWORD",
            login.name.clone(),
            "password",
        ));
    }
    env
}

/// The Secrets that pods read when they start: those of their environment, and the certificates by which the collector of traces is known.
/// What else is mounted the cluster brings up to date by itself.
pub(super) fn secrets_read_by(pod: &PodSpec) -> impl Iterator<Item = &str> {
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    let of_environment = all.flat_map(|container| {
        let whole = container.env_from.iter().flatten();
        let whole = whole.filter_map(|source| Some(source.secret_ref.as_ref()?.name.as_str()));
        let env = container.env.as_deref().unwrap_or_default();
        secrets_of(env).chain(whole)
    });
    of_environment.chain(telemetry::secret_of_certificates(pod))
}

/// The Secrets that variables come from.
pub(super) fn secrets_of(env: &[EnvVar]) -> impl Iterator<Item = &str> {
    let sources = env
        .iter()
        .filter_map(|variable| variable.value_from.as_ref());
    let references = sources.filter_map(|source| source.secret_key_ref.as_ref());
    references.map(|reference| reference.name.as_str())
}

/// One fingerprint of the content of Secrets.
pub(super) fn secret_contents<'a>(
    secrets: impl Iterator<Item = &'a str>,
    contents: &Contents<'_>,
) -> String {
    let read: BTreeMap<&str, &str> = secrets
        .map(|name| (name, contents.get(name).copied().unwrap_or_default()))
        .collect();
    Fingerprint::of(&read).hex()
}

fn scratch(service: &ValidService) -> Vec<(Volume, VolumeMount)> {
    let folders = service.definition.scratch.iter();
    folders
        .map(|folder| pod::scratch(&folder.name, &folder.path, "1Gi"))
        .collect()
}

/// On different nodes where there are several; rather together than not at all.
fn spread(shop: &ValidShop, service: &ValidService) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(metadata::selector(
            shop,
            service.name.as_str(),
            Component::Service,
        )),
        match_label_keys: Some(vec!["pod-template-hash".into()]),
        ..TopologySpreadConstraint::default()
    }
}
