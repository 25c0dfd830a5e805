//! The PostgreSQL of a service: one pod with one volume, small by default.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{
            Container, EnvVar, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec,
            PodTemplateSpec, Probe, Service, ServiceSpec, TCPSocketAction,
            VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use kube::api::ObjectMeta;

use super::{pod, service::port};
use crate::{
    api::StorageSpec,
    facts::observe::{ObservedBackend, PREPARED_ANNOTATION},
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{labels::Component, names, ports::DATABASE_PORT},
};

/// The user `postgres` of the published image.
const POSTGRES: i64 = 999;

/// Small, because five of them share a laptop. Each has its reason beside it.
const SETTINGS: [&str; 13] = [
    "shared_buffers=4MB", // the file system's cache does the rest
    // `connections` divides them among the pods of the service; idle ones are closed after a minute.
    "max_connections=200",
    // Room for 2,000 locks beside the 16 that each connection has of its own; a transaction here touches a handful of tables.
    // For 200 connections the defaults of 64 would reserve 6 MB more.
    "max_locks_per_transaction=10",
    "max_pred_locks_per_transaction=10",
    // No subscriptions, so no process that waits for some.
    "max_logical_replication_workers=0",
    "work_mem=2MB",              // small sorts; larger ones go to disk
    "maintenance_work_mem=16MB", // index builds of a small catalogue
    "max_wal_size=256MB",        // a volume of 1Gi must not fill up with it
    "min_wal_size=32MB",
    "max_worker_processes=4",
    "max_parallel_workers=2",
    "jit=off", // costs memory and helps long queries only
    "password_encryption=scram-sha-256",
];

/// What earlier operators gave, the latest last. A database that has these keeps them until its image changes: other settings are no
/// reason to restart it.
const FORMER_SETTINGS: [&[&str]; 2] = [
    &[
        "shared_buffers=8MB",
        "max_connections=200",
        "max_locks_per_transaction=32",
        "max_pred_locks_per_transaction=16",
        "work_mem=2MB",
        "maintenance_work_mem=16MB",
        "max_wal_size=256MB",
        "min_wal_size=32MB",
        "max_worker_processes=4",
        "max_parallel_workers=2",
        "jit=off",
        "password_encryption=scram-sha-256",
    ],
    &[
        "shared_buffers=8MB",
        "max_connections=200",
        "max_locks_per_transaction=10",
        "max_pred_locks_per_transaction=10",
        "max_logical_replication_workers=0",
        "work_mem=2MB",
        "maintenance_work_mem=16MB",
        "max_wal_size=256MB",
        "min_wal_size=32MB",
        "max_worker_processes=4",
        "max_parallel_workers=2",
        "jit=off",
        "password_encryption=scram-sha-256",
    ],
];

/// What a new database is made with: smaller files of its log than 16 MB, which the kernel would keep in memory as they are written. With
/// `max_wal_size` that is 64 of them.
const BIRTH: &str = "--wal-segsize=4";
const BIRTH_VARIABLE: &str = "POSTGRES_INITDB_ARGS";

/// The arguments of the container.
fn arguments(settings: &[&str]) -> Vec<String> {
    let settings = settings.iter().flat_map(|setting| ["-c", setting]);
    std::iter::once("postgres")
        .chain(settings)
        .map(Into::into)
        .collect()
}

/// The arguments for `image` where `live` is what runs.
fn arguments_beside(live: &ObservedBackend, image: &str) -> Vec<String> {
    let former = FORMER_SETTINGS.iter().map(|settings| arguments(settings));
    let same_image = live.image() == Some(image);
    let mut kept =
        former.filter(|former| same_image && live.arguments() == Some(former.as_slice()));
    kept.next().unwrap_or_else(|| arguments(&SETTINGS))
}

/// The Service of a service's database. It does not wait for readiness: with one pod, a refused connection tells a client
/// sooner that it must wait.
pub fn service(shop: &ValidShop, service: &ValidService) -> Service {
    Service {
        metadata: metadata::object(
            shop,
            names::database(&shop.name, &service.name),
            service.name.as_str(),
            Component::Database,
        ),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(metadata::identity(
                shop,
                service.name.as_str(),
                Component::Database,
            )),
            ports: Some(vec![port("postgres", DATABASE_PORT)]),
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The StatefulSet of a service's database. `live` is what is there of it, `prepared` the incarnation of which role and database
/// are made.
pub fn stateful_set(
    shop: &ValidShop,
    service: &ValidService,
    image: &str,
    live: &ObservedBackend,
    prepared: Option<&str>,
) -> StatefulSet {
    let name = names::database(&shop.name, &service.name);
    let app = service.name.as_str();
    let prepared = prepared.map(|prepared| [(PREPARED_ANNOTATION.into(), prepared.into())].into());
    StatefulSet {
        metadata: ObjectMeta {
            annotations: prepared,
            ..metadata::object(shop, name.clone(), app, Component::Database)
        },
        spec: Some(StatefulSetSpec {
            service_name: Some(name),
            replicas: Some(1),
            selector: metadata::selector(shop, app, Component::Database),
            pod_management_policy: Some("Parallel".into()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(retention()),
            volume_claim_templates: Some(vec![claim(
                shop,
                app,
                Component::Database,
                &shop.database.storage,
                live.template_size(),
            )]),
            template: template(shop, service, image, live),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// A volume stays when its StatefulSet goes, whoever deletes that. What becomes of it when the Shop goes is another matter: see
/// `deletion`.
pub fn retention() -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some("Retain".into()),
        when_scaled: Some("Retain".into()),
    }
}

/// The claim template of a volume named `data`. Kubernetes never lets a StatefulSet's claim template change, so that it keeps
/// `size`, the one with which the StatefulSet was made; none while there is no StatefulSet. A volume grows by its claim alone.
pub fn claim(
    shop: &ValidShop,
    app: &str,
    component: Component,
    storage: &StorageSpec,
    size: Option<&str>,
) -> PersistentVolumeClaim {
    let size = size.unwrap_or(&storage.size);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".into()),
            labels: Some(claim_labels(shop, app, component)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.into()))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// The labels of a claim template, word by word and for good: one that is new, or another value, and the API server refuses
/// every StatefulSet that an older operator made. Other objects have theirs from `metadata`.
fn claim_labels(shop: &ValidShop, app: &str, component: Component) -> BTreeMap<String, String> {
    let component = match component {
        Component::Database => "database",
        Component::Broker => "broker",
        // They have no claim.
        Component::Service => "service",
        Component::Canary => "canary",
        Component::Migration => "migration",
    };
    [
        ("app.kubernetes.io/name", app),
        ("app.kubernetes.io/instance", &shop.name),
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/part-of", "shop"),
        ("app.kubernetes.io/managed-by", "shop-operator"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn template(
    shop: &ValidShop,
    service: &ValidService,
    image: &str,
    live: &ObservedBackend,
) -> PodTemplateSpec {
    let (tmp, tmp_mount) = pod::scratch("tmp", "/tmp", "64Mi");
    let (run, run_mount) = pod::scratch("run", "/var/run/postgresql", "16Mi");
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(metadata::labels(
                shop,
                service.name.as_str(),
                Component::Database,
            )),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::scheduled(
            &shop.database.scheduling,
            PodSpec {
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                security_context: Some(pod::security(POSTGRES)),
                image_pull_secrets: pod::pull_secrets(shop),
                termination_grace_period_seconds: Some(60),
                volumes: Some(vec![tmp, run]),
                containers: vec![Container {
                    name: "postgres".into(),
                    image: Some(image.to_owned()),
                    image_pull_policy: Some(shop.pull_policy.as_str().into()),
                    args: Some(arguments_beside(live, image)),
                    env: Some(variables(shop, service, live)),
                    ports: Some(vec![pod::port("postgres", DATABASE_PORT)]),
                    resources: Some(pod::requirements(&shop.database.resources)),
                    startup_probe: Some(Probe {
                        period_seconds: Some(1),
                        failure_threshold: Some(300),
                        ..listens()
                    }),
                    readiness_probe: Some(Probe {
                        period_seconds: Some(5),
                        failure_threshold: Some(3),
                        ..listens()
                    }),
                    liveness_probe: Some(Probe {
                        period_seconds: Some(20),
                        failure_threshold: Some(6),
                        ..listens()
                    }),
                    security_context: Some(pod::container_security()),
                    volume_mounts: Some(vec![
                        pod::mount("data", "/var/lib/postgresql/data"),
                        tmp_mount,
                        run_mount,
                    ]),
                    ..Container::default()
                }],
                ..PodSpec::default()
            },
        )),
    }
}

fn variables(shop: &ValidShop, service: &ValidService, live: &ObservedBackend) -> Vec<EnvVar> {
    let password = names::database_admin(&shop.name, &service.name);
    let mut variables = vec![
        pod::secret_variable("POSTGRES_PASSWORD", password, "password"),
        // A folder below the mount: the mount's own root may hold `lost+found`.
        pod::variable("PGDATA", "/var/lib/postgresql/data/pgdata"),
    ];
    // It counts once. A database that was made without it need not restart for it.
    if live.stateful_set.is_none() || live.has_variable(BIRTH_VARIABLE) {
        variables.push(pod::variable(BIRTH_VARIABLE, BIRTH));
    }
    variables
}

/// It listens on TCP, which the published image does not do while it initialises itself. Asking with `pg_isready` would say
/// no more after that, and starting a program in five containers every few seconds costs more CPU than an idle shop needs.
fn listens() -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(DATABASE_PORT),
            host: None,
        }),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connections::MAX_CONNECTIONS;

    #[test]
    fn postgresql_takes_as_many_connections_as_are_divided_among_pods() {
        let setting = format!("max_connections={MAX_CONNECTIONS}");
        assert!(SETTINGS.contains(&setting.as_str()));
        for former in FORMER_SETTINGS {
            assert!(former.contains(&setting.as_str()));
        }
    }

    #[test]
    fn a_database_keeps_its_former_settings_until_its_image_changes() {
        let [first, former] = FORMER_SETTINGS.map(arguments);
        let (new, edited) = (arguments(&SETTINGS), arguments(&["fsync=off"]));
        for (args, image, expected) in [
            (&first, "postgres:17", &first),
            (&first, "postgres:17.2", &new),
            (&former, "postgres:17", &former),
            (&former, "postgres:17.2", &new),
            (&new, "postgres:17", &new),
            (&edited, "postgres:17", &new),
        ] {
            let live = json!({"spec": {"serviceName": "a", "selector": {}, "template": {"spec": {"containers": [
                {"name": "postgres", "image": "postgres:17", "args": args},
            ]}}}});
            let live: StatefulSet = serde_json::from_value(live).expect("a StatefulSet");
            let live = ObservedBackend {
                stateful_set: Some(live.into()),
                ..ObservedBackend::default()
            };
            assert_eq!(
                &arguments_beside(&live, image),
                expected,
                "{args:?} {image}"
            );
        }
        assert_eq!(
            arguments_beside(&ObservedBackend::default(), "postgres:17"),
            new
        );
    }
}
