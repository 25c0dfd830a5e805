//! The Deployment of a service. It never names a count of replicas: who decides about that is `validate::Replicas`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, EnvVar, Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec, Probe,
            SleepAction, TopologySpreadConstraint, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{broker::stream_size, pod};
use crate::{
    api::EmailSpec,
    catalogue::{ADMIN_PORT, HTTP_PORT, ServiceName},
    connections::per_process,
    credentials::Credentials,
    decide::Release,
    hash::Fingerprint,
    labels::VERSION_LABEL,
    meta::{self, Component},
    names,
    observe::Observed,
    validate::ValidShop,
};

/// Changes when the content of a Secret changes that the pods read, so that they roll.
const SETTINGS_ANNOTATION: &str = "shopkeeper.dev/settings";
/// Endpoints need this long to forget a pod that ends; the image has no shell to sleep with.
const DRAIN_SECONDS: i64 = 5;
/// `DRAIN_SECONDS`, the 25 s in which a service finishes, and some air.
const GRACE_SECONDS: i64 = 35;
/// A rollout that gets nowhere for this long is called stuck.
const DEADLINE_SECONDS: i32 = 300;

/// The Deployment of a service.
pub fn deployment(
    shop: &ValidShop,
    service: ServiceName,
    runs: &Release,
    observed: &Observed,
    credentials: &Credentials,
) -> Deployment {
    let app = service.as_str();
    let mut metadata = meta::object(
        shop,
        names::service(&shop.name, service),
        app,
        Component::Service,
    );
    metadata
        .labels
        .get_or_insert_default()
        .extend(version_label(&runs.version));
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            selector: meta::selector(shop, app, Component::Service),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(3),
            progress_deadline_seconds: Some(DEADLINE_SECONDS),
            template: template(shop, service, runs, observed, credentials),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// The version as a label, where it can be one.
pub fn version_label(version: &Option<String>) -> Option<(String, String)> {
    version
        .clone()
        .map(|version| (VERSION_LABEL.into(), version))
}

fn template(
    shop: &ValidShop,
    service: ServiceName,
    runs: &Release,
    observed: &Observed,
    credentials: &Credentials,
) -> PodTemplateSpec {
    let wanted = &shop.services[service];
    let mut labels = meta::labels(shop, service.as_str(), Component::Service);
    labels.extend(version_label(&runs.version));
    let env = environment(shop, service, observed);
    let annotations = BTreeMap::from([(
        SETTINGS_ANNOTATION.into(),
        secret_contents(&env, observed, credentials),
    )]);
    let (volumes, mounts) = writable(service);
    PodTemplateSpec {
        metadata: Some(pod::metadata(wanted, labels, annotations)),
        spec: Some(pod::scheduled(
            &wanted.scheduling,
            PodSpec {
                service_account_name: Some(names::service(&shop.name, service)),
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                security_context: Some(pod::security(pod::NONROOT)),
                termination_grace_period_seconds: Some(GRACE_SECONDS),
                image_pull_secrets: pod::pull_secrets(shop),
                topology_spread_constraints: Some(vec![spread(shop, service)]),
                volumes,
                containers: vec![container(shop, service, runs, env, mounts)],
                ..PodSpec::default()
            },
        )),
    }
}

fn container(
    shop: &ValidShop,
    service: ServiceName,
    runs: &Release,
    env: Vec<EnvVar>,
    mounts: Option<Vec<VolumeMount>>,
) -> Container {
    let wanted = &shop.services[service];
    Container {
        name: service.to_string(),
        image: Some(runs.image.clone()),
        image_pull_policy: Some(shop.pull_policy.as_str().into()),
        args: Some(vec!["serve".into()]),
        env: Some(env),
        ports: Some(vec![
            pod::port("http", HTTP_PORT),
            pod::port("admin", ADMIN_PORT),
        ]),
        resources: Some(pod::requirements(&wanted.resources)),
        // No startup probe: a service listens within 100 ms, and one that waits for its database must not be restarted.
        readiness_probe: Some(Probe {
            period_seconds: Some(1),
            timeout_seconds: Some(2),
            failure_threshold: Some(5),
            ..pod::http_probe("/readyz", ADMIN_PORT)
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            timeout_seconds: Some(5),
            failure_threshold: Some(6),
            ..pod::http_probe("/livez", ADMIN_PORT)
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
        volume_mounts: mounts,
        ..Container::default()
    }
}

/// Settings in the order: addresses and logins, the service's own, telemetry, and last what the Shop adds. A variable of
/// the Shop takes the place of one of ours; admission lets it do so only where that is meant.
fn environment(shop: &ValidShop, service: ServiceName, observed: &Observed) -> Vec<EnvVar> {
    let descriptor = service.descriptor();
    let mut env = vec![
        pod::secret_variable("DATABASE_URL", names::database(&shop.name, service), "url"),
        pod::secret_variable("NATS_URL", names::broker_login(&shop.name, service), "url"),
    ];
    if descriptor.limits_stream {
        env.push(pod::variable(
            "EVENTS_MAX_BYTES",
            stream_size(shop, &observed.broker).to_string(),
        ));
    }
    let most_pods = shop.services[service].replicas.most();
    if let Some(connections) = most_pods.and_then(per_process) {
        env.push(pod::variable(
            "DATABASE_MAX_CONNECTIONS",
            connections.to_string(),
        ));
    }
    for call in descriptor.calls {
        env.push(pod::variable(
            call.url,
            format!(
                "http://{}:{HTTP_PORT}",
                names::service(&shop.name, call.service)
            ),
        ));
        if let Some((variable, key)) = call.token {
            env.push(pod::secret_variable(
                variable,
                names::keys(&shop.name, call.service),
                key,
            ));
        }
    }
    for key in descriptor.keys {
        env.push(pod::secret_variable(
            key.name,
            names::keys(&shop.name, service),
            key.name,
        ));
    }
    env.extend(
        descriptor
            .settings
            .iter()
            .map(|(name, value)| pod::variable(name, *value)),
    );
    env.extend(
        descriptor
            .writable
            .iter()
            .map(|dir| pod::variable(dir.variable, dir.path)),
    );
    if descriptor.sends_mail {
        env.extend(shop.email.iter().flat_map(mail));
    }
    env.push(pod::variable("LOG", &shop.log_level));
    if let Some(endpoint) = &shop.otlp_endpoint {
        env.push(pod::variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    }
    if let Some(sampling) = &shop.sampling {
        env.push(pod::variable("OTEL_TRACES_SAMPLER_ARG", sampling));
    }
    for extra in &shop.services[service].env {
        env.retain(|ours| ours.name != extra.name);
        env.push(pod::variable(&extra.name, &extra.value));
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

/// One fingerprint of the content of all Secrets that the environment reads.
fn secret_contents(env: &[EnvVar], observed: &Observed, credentials: &Credentials) -> String {
    let of_user = |name: &str| {
        observed
            .user_secrets
            .iter()
            .find(|secret| secret.name == name)?
            .content()
    };
    let read: BTreeMap<&str, &str> = env
        .iter()
        .filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref())
        .map(|reference| {
            let name = reference.name.as_str();
            (
                name,
                credentials
                    .contents
                    .get(name)
                    .map(String::as_str)
                    .or_else(|| of_user(name))
                    .unwrap_or_default(),
            )
        })
        .collect();
    Fingerprint::of(&read).hex()
}

fn writable(service: ServiceName) -> (Option<Vec<Volume>>, Option<Vec<VolumeMount>>) {
    let dirs = service.descriptor().writable;
    if dirs.is_empty() {
        return (None, None);
    }
    let (volumes, mounts) = dirs
        .iter()
        .map(|dir| pod::scratch(dir.volume, dir.path, "1Gi"))
        .unzip();
    (Some(volumes), Some(mounts))
}

/// On different nodes where there are several; rather together than not at all.
fn spread(shop: &ValidShop, service: ServiceName) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(meta::selector(shop, service.as_str(), Component::Service)),
        match_label_keys: Some(vec!["pod-template-hash".into()]),
        ..TopologySpreadConstraint::default()
    }
}
