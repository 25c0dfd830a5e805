//! From a Shop as written to a Shop as meant: every default is filled in. What would make nonsense of the rest (a name that does
//! not fit, fields that exclude each other, reserved variables, no registry) is refused here too, for Shops that were stored
//! under an older CRD; patterns, ranges and the other rules are left to admission. What follows works on [`ValidShop`] alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use crate::{
    api::{
        AmountsSpec, DeletionPolicy, EmailSpec, EnvSpec, ExposureType, PullPolicy, ResourcesSpec,
        ServiceSpec, Shop, StorageSpec,
    },
    catalogue::{PerService, RESERVED_ENV, ServiceName},
    config::Config,
    quantity::{bytes, thousandths},
};

/// A Shop whose every field is known and allowed.
#[derive(Clone, Debug)]
pub struct ValidShop {
    /// At most 30 characters.
    pub name: String,
    /// The namespace of all its objects.
    pub namespace: String,
    /// Points at the Shop; deleting the Shop takes with it what carries this.
    pub owner: OwnerReference,
    /// When nodes pull images.
    pub pull_policy: PullPolicy,
    /// Names of Secrets with logins of registries.
    pub pull_secrets: Vec<String>,
    /// The PostgreSQL image.
    pub postgres_image: ImageChoice,
    /// The NATS image.
    pub nats_image: ImageChoice,
    /// The services.
    pub services: PerService<ValidService>,
    /// The volume of each database.
    pub database_storage: StorageSpec,
    /// The volume of the broker.
    pub broker_storage: StorageSpec,
    /// What becomes of data when the Shop is deleted.
    pub deletion_policy: DeletionPolicy,
    /// How mail leaves the shop.
    pub email: Option<EmailSpec>,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// The share of traces that is kept.
    pub sampling: Option<String>,
    /// Filter directives for logs.
    pub log_level: String,
    /// The namespace whose operator may connect to databases.
    pub operator_namespace: String,
}

/// Which image of a database or the broker is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChoice {
    /// By the Shop.
    pub asked: Option<String>,
    /// By the operator, for a volume that is new.
    pub default: String,
}

/// A service whose every field is known and allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidService {
    /// The version asked for; none where a whole image is named.
    pub version: Option<String>,
    /// The image that is to run.
    pub image: String,
    /// Who decides how many pods run.
    pub replicas: Replicas,
    /// CPU and memory of a pod.
    pub resources: ResourcesSpec,
    /// The user's own environment.
    pub env: Vec<EnvSpec>,
    /// The port of every node on which it is reached.
    pub node_port: Option<i32>,
}

/// Who decides how many pods run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// Someone else: `kubectl scale`, an autoscaler of the user's own.
    Unmanaged,
    /// The Shop.
    Fixed(i32),
    /// Our HorizontalPodAutoscaler.
    Autoscaled {
        /// At least.
        min: i32,
        /// At most.
        max: i32,
        /// CPU use in percent of the request.
        target: i32,
    },
}

/// Checks a Shop and fills in its defaults.
///
/// # Errors
/// All that is wrong, each as one sentence that begins with the field's path.
pub fn validate(shop: &Shop, config: &Config) -> Result<ValidShop, Vec<String>> {
    let mut wrong = Vec::new();
    check_name(&shop.name_any(), &mut wrong);

    let spec = &shop.spec;
    let images = spec.images.clone().unwrap_or_default();
    let registry = images.registry.or_else(|| config.image_registry.clone());
    let services =
        PerService::new(|service| valid_service(shop, service, registry.as_deref(), &mut wrong));

    let telemetry = spec.telemetry.clone().unwrap_or_default();
    let valid = ValidShop {
        name: shop.name_any(),
        namespace: shop.namespace().unwrap_or_default(),
        owner: owner_of(shop),
        pull_policy: images.pull_policy.unwrap_or(PullPolicy::IfNotPresent),
        pull_secrets: images.pull_secrets,
        postgres_image: ImageChoice {
            asked: images.postgres,
            default: config.postgres_image.clone(),
        },
        nats_image: ImageChoice {
            asked: images.nats,
            default: config.nats_image.clone(),
        },
        services,
        database_storage: spec.database.storage.clone(),
        broker_storage: spec.broker.storage.clone(),
        deletion_policy: spec.database.deletion_policy,
        email: spec.email.clone(),
        otlp_endpoint: telemetry.otlp.map(|otlp| otlp.endpoint),
        sampling: telemetry.sampling,
        log_level: telemetry
            .logs
            .and_then(|logs| logs.level)
            .unwrap_or_else(|| "info".into()),
        operator_namespace: config.pod_namespace.clone(),
    };
    if wrong.is_empty() {
        Ok(valid)
    } else {
        Err(wrong)
    }
}

fn check_name(name: &str, wrong: &mut Vec<String>) {
    let fine = name.len() <= 30
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fine {
        wrong.push(
            "metadata.name: at most 30 lower-case letters, digits and '-', beginning with a letter"
                .into(),
        );
    }
}

fn valid_service(
    shop: &Shop,
    service: ServiceName,
    registry: Option<&str>,
    wrong: &mut Vec<String>,
) -> ValidService {
    let spec = service_spec(shop, service).cloned().unwrap_or_default();
    let path = format!("spec.services.{service}");
    if spec.version.is_some() && spec.image.is_some() {
        wrong.push(format!("{path}: version and image exclude each other"));
    }
    for env in spec
        .env
        .iter()
        .filter(|env| RESERVED_ENV.contains(&env.name.as_str()))
    {
        wrong.push(format!(
            "{path}.env[{}]: this name is set by the operator",
            env.name
        ));
    }
    let replicas = replicas(&path, &spec, wrong);
    let (version, image) = match (spec.image, registry) {
        (Some(image), _) => (None, image),
        (None, Some(registry)) => {
            let version = spec.version.unwrap_or_else(|| shop.spec.version.clone());
            let image = format!("{registry}/{service}:{version}");
            (Some(version), image)
        }
        (None, None) => {
            wrong.push(format!(
                "spec.images.registry: needed for {service}, because the operator has no default of its own"
            ));
            (None, String::new())
        }
    };
    ValidService {
        version,
        image,
        replicas,
        resources: with_default_resources(spec.resources.unwrap_or_default()),
        env: spec.env,
        node_port: node_port(shop, service),
    }
}

fn service_spec(shop: &Shop, service: ServiceName) -> Option<&ServiceSpec> {
    let services = shop.spec.services.as_ref()?;
    match service {
        ServiceName::Users => services.users.as_ref(),
        ServiceName::Search => services.search.as_ref(),
        ServiceName::Orders => services.orders.as_ref(),
        ServiceName::Payments => services.payments.as_ref(),
        ServiceName::Email => services.email.as_ref(),
    }
}

fn node_port(shop: &Shop, service: ServiceName) -> Option<i32> {
    let exposure = shop.spec.exposure.as_ref()?;
    match exposure.type_ {
        ExposureType::ClusterIP => None,
        ExposureType::NodePort => {
            let ports = exposure.node_ports.as_ref()?;
            match service {
                ServiceName::Users => ports.users,
                ServiceName::Search => ports.search,
                ServiceName::Orders => ports.orders,
                ServiceName::Payments => ports.payments,
                ServiceName::Email => ports.email,
            }
        }
    }
}

fn replicas(path: &str, spec: &ServiceSpec, wrong: &mut Vec<String>) -> Replicas {
    match (spec.replicas, &spec.autoscaling) {
        (None, None) => Replicas::Unmanaged,
        (Some(count), None) => Replicas::Fixed(count),
        (None, Some(autoscaling)) => {
            let min = autoscaling.min_replicas.unwrap_or(1);
            let max = autoscaling.max_replicas;
            if min > max {
                wrong.push(format!(
                    "{path}.autoscaling: minReplicas must not be greater than maxReplicas"
                ));
            }
            Replicas::Autoscaled {
                min,
                max,
                target: autoscaling.target_cpu_utilization.unwrap_or(80),
            }
        }
        (Some(_), Some(_)) => {
            wrong.push(format!(
                "{path}: replicas and autoscaling exclude each other"
            ));
            Replicas::Unmanaged
        }
    }
}

/// A small request, so that five services fit on a laptop, and a limit on memory alone: a limit on CPU only slows.
fn with_default_resources(resources: ResourcesSpec) -> ResourcesSpec {
    let requests = resources.requests.unwrap_or_default();
    let limits = resources.limits.unwrap_or_default();
    // A default gives way: whoever limits less than the default request, or requests more than the default limit, gets what
    // was named as both.
    let unless = |named: &Option<String>, beats: fn(&str) -> bool, default: &str| match named {
        Some(amount) if beats(amount) => amount.clone(),
        Some(_) | None => default.to_owned(),
    };
    let cpu = unless(&limits.cpu, |cpu| thousandths(cpu) < 20.0, "20m");
    let memory = unless(&limits.memory, |limit| bytes(limit) < bytes("32Mi"), "32Mi");
    let memory_limit = unless(
        &requests.memory,
        |request| bytes(request) > bytes("256Mi"),
        "256Mi",
    );
    ResourcesSpec {
        requests: Some(AmountsSpec {
            cpu: requests.cpu.or(Some(cpu)),
            memory: requests.memory.or(Some(memory)),
        }),
        limits: Some(AmountsSpec {
            cpu: limits.cpu,
            memory: limits.memory.or(Some(memory_limit)),
        }),
    }
}

/// No `blockOwnerDeletion`: it would need the right to set finalizers of Shops, and nothing here waits for it.
fn owner_of(shop: &Shop) -> OwnerReference {
    OwnerReference {
        api_version: Shop::api_version(&()).into_owned(),
        kind: Shop::kind(&()).into_owned(),
        name: shop.name_any(),
        uid: shop.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}
