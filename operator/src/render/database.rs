//! The PostgreSQL of a service: one pod with one volume, small by default.

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{
            Container, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec,
            Probe, Service, ServiceSpec, TCPSocketAction, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use kube::api::ObjectMeta;

use super::{pod, service::port};
use crate::{
    api::StorageSpec,
    catalogue::{DATABASE_PORT, ServiceName},
    meta::{self, Component},
    names,
    observe::{ObservedBackend, PREPARED_ANNOTATION},
    validate::ValidShop,
};

/// The user `postgres` of the published image.
const POSTGRES: i64 = 999;

/// Small, because five of them share a laptop. Each has its reason beside it.
const SETTINGS: [&str; 12] = [
    "shared_buffers=8MB", // the file system's cache does the rest
    // A process holds at most 8 and closes idle ones after a minute: room for about twenty pods of the service.
    "max_connections=200",
    // A transaction here touches a handful of tables. For 200 connections the default of 64 would reserve 5 MB more.
    "max_locks_per_transaction=32",
    "max_pred_locks_per_transaction=16",
    "work_mem=2MB",              // small sorts; larger ones go to disk
    "maintenance_work_mem=16MB", // index builds of a small catalogue
    "max_wal_size=256MB",        // a volume of 1Gi must not fill up with it
    "min_wal_size=32MB",
    "max_worker_processes=4",
    "max_parallel_workers=2",
    "jit=off", // costs memory and helps long queries only
    "password_encryption=scram-sha-256",
];

/// The Service of a service's database. It does not wait for readiness: with one pod, a refused connection tells a client
/// sooner that it must wait.
pub fn service(shop: &ValidShop, service: ServiceName) -> Service {
    Service {
        metadata: meta::object(
            shop,
            names::database(&shop.name, service),
            service.as_str(),
            Component::Database,
        ),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(meta::identity(shop, service.as_str(), Component::Database)),
            ports: Some(vec![port("postgres", DATABASE_PORT)]),
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The StatefulSet of a service's database.
pub fn stateful_set(
    shop: &ValidShop,
    service: ServiceName,
    image: &str,
    observed: &ObservedBackend,
    prepared: Option<&str>,
) -> StatefulSet {
    let name = names::database(&shop.name, service);
    let app = service.as_str();
    let prepared = prepared.map(|prepared| [(PREPARED_ANNOTATION.into(), prepared.into())].into());
    StatefulSet {
        metadata: ObjectMeta {
            annotations: prepared,
            ..meta::object(shop, name.clone(), app, Component::Database)
        },
        spec: Some(StatefulSetSpec {
            service_name: Some(name),
            replicas: Some(1),
            selector: meta::selector(shop, app, Component::Database),
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
                &shop.database_storage,
                observed.template_size(),
            )]),
            template: template(shop, service, image),
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

/// The claim of a volume named `data`. A template cannot be changed: one that is there keeps its size (`size`), and it is the
/// claim itself that grows.
pub fn claim(
    shop: &ValidShop,
    app: &str,
    component: Component,
    storage: &StorageSpec,
    size: Option<&str>,
) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".into()),
            labels: Some(meta::labels(shop, app, component)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(
                    [(
                        "storage".to_owned(),
                        Quantity(size.unwrap_or(&storage.size).to_owned()),
                    )]
                    .into(),
                ),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

fn template(shop: &ValidShop, service: ServiceName, image: &str) -> PodTemplateSpec {
    let (tmp, tmp_mount) = pod::scratch("tmp", "/tmp", "64Mi");
    let (run, run_mount) = pod::scratch("run", "/var/run/postgresql", "16Mi");
    let args = SETTINGS.iter().flat_map(|setting| ["-c", setting]);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(meta::labels(shop, service.as_str(), Component::Database)),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
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
                args: Some(
                    std::iter::once("postgres")
                        .chain(args)
                        .map(Into::into)
                        .collect(),
                ),
                env: Some(vec![
                    pod::secret_variable(
                        "POSTGRES_PASSWORD",
                        names::database_admin(&shop.name, service),
                        "password",
                    ),
                    // A folder below the mount: the mount's own root may hold `lost+found`.
                    pod::variable("PGDATA", "/var/lib/postgresql/data/pgdata"),
                ]),
                ports: Some(vec![pod::port("postgres", DATABASE_PORT)]),
                resources: Some(pod::amounts("20m", "48Mi", "512Mi")),
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
        }),
    }
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
