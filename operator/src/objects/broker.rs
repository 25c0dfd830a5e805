//! The broker of a Shop: one NATS server with JetStream. Each service has a login of its own, which may publish what the service's
//! document says and read what it subscribes to.

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{
            Container, PodSpec, PodTemplateSpec, Probe, Secret, SecretVolumeSource, Service,
            ServiceSpec, Volume, VolumeMount,
        },
    },
};
use kube::api::ObjectMeta;
use secrecy::{ExposeSecret, SecretString};

use super::{
    database::{claim, retention},
    pod,
    service::port,
};
use crate::{
    definition::built_in::consumers,
    facts::{credentials::Credentials, observe::ObservedBackend},
    hash::Fingerprint,
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::Component,
        names::{self, ServiceName},
        ports::{BROKER_PORT, MONITORING_PORT},
    },
    progress::stream::volume_size,
};

const APP: &str = "nats";
const CONFIGURATION: &str = "nats.conf";
/// Changes when the configuration does, so that the server restarts with it.
const CONFIGURATION_ANNOTATION: &str = "shopkeeper.dev/configuration";
/// Events are small; whatever is larger is a mistake.
const MAX_PAYLOAD: &str = "1MB";
const MAX_CONNECTIONS: u32 = 1000;

/// The Service of the broker.
pub fn service(shop: &ValidShop) -> Service {
    Service {
        metadata: metadata::object(shop, names::broker(&shop.name), APP, Component::Broker),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(metadata::identity(shop, APP, Component::Broker)),
            ports: Some(vec![port("nats", BROKER_PORT)]),
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The configuration of the broker. It holds passwords, so it is a Secret.
pub fn configuration(
    shop: &ValidShop,
    observed: &ObservedBackend,
    credentials: &Credentials,
) -> Secret {
    Secret {
        metadata: metadata::object(shop, names::broker(&shop.name), APP, Component::Broker),
        type_: Some("Opaque".into()),
        data: Some(
            [(
                CONFIGURATION.to_owned(),
                ByteString(file(shop, observed, credentials).into_bytes()),
            )]
            .into(),
        ),
        ..Secret::default()
    }
}

fn file(shop: &ValidShop, observed: &ObservedBackend, credentials: &Credentials) -> String {
    // Below the volume's size: the server must stop taking events before the disk is full.
    let max_file_store = volume_size(shop, observed) / 10 * 9;
    let mut file = format!(
        r#"server_name: "{name}"
port: {BROKER_PORT}
http_port: {MONITORING_PORT}
max_payload: {MAX_PAYLOAD}
max_connections: {MAX_CONNECTIONS}
jetstream {{
  store_dir: "/data"
  max_memory_store: 16MB
  max_file_store: {max_file_store}
}}
authorization {{
  users: [
"#,
        name = names::broker(&shop.name),
    );
    for service in shop.services.values().filter(|service| !service.hosts) {
        if let Some(login) = credentials.services.get(&service.name) {
            let password = &login.broker_password;
            file.push_str(&user(&service.name, password, &publishes(service)));
        }
    }
    for (service, password) in &credentials.leaving {
        file.push_str(&user(service, password, &publishes_its_own(service)));
    }
    file.push_str("  ]\n}\n");
    file
}

fn user(name: &ServiceName, password: &SecretString, publishes: &[String]) -> String {
    let password = quoted(password.expose_secret());
    let allowed: String = publishes
        .iter()
        .map(|subject| format!("        \"{subject}\",\n"))
        .collect();
    format!(
        r#"    {{ user: "{name}", password: "{password}", permissions: {{
      publish: [
{allowed}      ]
      subscribe: ["_INBOX.{name}.>"]
    }} }}
"#
    )
}

/// What a service may publish on: the events of its document, and requests to JetStream. It has a consumer for each kind that it
/// subscribes to and reads through these alone; what others ask or are told is not shown to it. Nobody deletes the stream, and one
/// changes it.
fn publishes(service: &ValidService) -> Vec<String> {
    let definition = &service.definition;
    let mut subjects = definition.publishes.clone();
    subjects.extend(about_the_stream());
    // Even where it publishes nothing: an earlier version may have.
    subjects.extend(looks_for_its_own(&service.name));
    if service.limits_stream {
        subjects.push("$JS.API.STREAM.UPDATE.SHOP".to_owned());
    }
    for (consumer, kind) in consumers(definition) {
        subjects.push(format!("$JS.API.CONSUMER.CREATE.SHOP.{consumer}.{kind}"));
        subjects.push(format!("$JS.API.CONSUMER.INFO.SHOP.{consumer}"));
        subjects.extend(uses(&consumer));
    }
    subjects
}

/// Of a service that leaves, whose document is gone: what it has not published yet, and the look for it.
fn publishes_its_own(name: &ServiceName) -> Vec<String> {
    let mut subjects = vec![format!("shop.{name}.>")];
    subjects.extend(about_the_stream());
    subjects.extend(looks_for_its_own(name));
    subjects
}

/// Whoever comes first makes the stream.
fn about_the_stream() -> [String; 3] {
    [
        "$JS.API.INFO",
        "$JS.API.STREAM.CREATE.SHOP",
        "$JS.API.STREAM.INFO.SHOP",
    ]
    .map(str::to_owned)
}

/// Whether the broker still has what it acknowledged is seen through a consumer of the service's own events.
fn looks_for_its_own(name: &ServiceName) -> [String; 3] {
    [
        format!("$JS.API.CONSUMER.CREATE.SHOP.{name}-outbox.shop.{name}.>"),
        format!("$JS.API.CONSUMER.DELETE.SHOP.{name}-outbox"),
        format!("$JS.API.CONSUMER.MSG.NEXT.SHOP.{name}-outbox"),
    ]
}

/// Asking a consumer for events, and acknowledging them.
fn uses(consumer: &str) -> [String; 2] {
    [
        format!("$JS.API.CONSUMER.MSG.NEXT.SHOP.{consumer}"),
        format!("$JS.ACK.SHOP.{consumer}.>"),
    ]
}

/// A password as it stands in a quoted string of the configuration: ours need no escaping, one that somebody has put in may.
fn quoted(password: &str) -> String {
    let escape = |c: char| match c {
        '"' => r#"\""#.to_owned(),
        '\\' => r"\\".to_owned(),
        c if c.is_ascii_control() => format!(r"\x{:02x}", u32::from(c)),
        c => c.to_string(),
    };
    password.chars().map(escape).collect()
}

/// The StatefulSet of the broker. `live` is what is there of it.
pub fn stateful_set(
    shop: &ValidShop,
    image: &str,
    live: &ObservedBackend,
    configuration: &Secret,
) -> StatefulSet {
    let name = names::broker(&shop.name);
    StatefulSet {
        metadata: metadata::object(shop, name.clone(), APP, Component::Broker),
        spec: Some(StatefulSetSpec {
            service_name: Some(name),
            replicas: Some(1),
            selector: metadata::selector(shop, APP, Component::Broker),
            pod_management_policy: Some("Parallel".into()),
            persistent_volume_claim_retention_policy: Some(retention()),
            volume_claim_templates: Some(vec![claim(
                shop,
                APP,
                Component::Broker,
                &shop.broker.storage,
                live.template_size(),
            )]),
            template: template(shop, image, configuration),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn template(shop: &ValidShop, image: &str, configuration: &Secret) -> PodTemplateSpec {
    let healthy = || pod::http_probe("/healthz", MONITORING_PORT);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(metadata::labels(shop, APP, Component::Broker)),
            annotations: Some(
                [(
                    CONFIGURATION_ANNOTATION.to_owned(),
                    Fingerprint::of(&configuration.data).hex(),
                )]
                .into(),
            ),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::scheduled(
            &shop.broker.scheduling,
            PodSpec {
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                security_context: Some(pod::security(pod::NONROOT)),
                image_pull_secrets: pod::pull_secrets(shop),
                volumes: Some(vec![Volume {
                    name: "configuration".into(),
                    secret: Some(SecretVolumeSource {
                        secret_name: Some(names::broker(&shop.name)),
                        ..SecretVolumeSource::default()
                    }),
                    ..Volume::default()
                }]),
                containers: vec![Container {
                    name: APP.into(),
                    image: Some(image.to_owned()),
                    image_pull_policy: Some(shop.pull_policy.as_str().into()),
                    args: Some(vec!["-c".into(), format!("/etc/nats/{CONFIGURATION}")]),
                    ports: Some(vec![
                        pod::port("nats", BROKER_PORT),
                        pod::port("monitoring", MONITORING_PORT),
                    ]),
                    resources: Some(pod::requirements(&shop.broker.resources)),
                    startup_probe: Some(Probe {
                        period_seconds: Some(1),
                        failure_threshold: Some(120),
                        ..healthy()
                    }),
                    readiness_probe: Some(Probe {
                        period_seconds: Some(5),
                        timeout_seconds: Some(5),
                        ..healthy()
                    }),
                    liveness_probe: Some(Probe {
                        period_seconds: Some(20),
                        timeout_seconds: Some(5),
                        failure_threshold: Some(6),
                        ..pod::http_probe("/healthz?js-server-only=true", MONITORING_PORT)
                    }),
                    security_context: Some(pod::container_security()),
                    volume_mounts: Some(vec![
                        pod::mount("data", "/data"),
                        VolumeMount {
                            read_only: Some(true),
                            ..pod::mount("configuration", "/etc/nats")
                        },
                    ]),
                    ..Container::default()
                }],
                ..PodSpec::default()
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_password_cannot_leave_its_quotes() {
        assert_eq!(quoted("plain1"), "plain1");
        assert_eq!(quoted("a\"b\\c\n"), r#"a\"b\\c\x0a"#);
    }
}
