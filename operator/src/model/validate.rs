//! From a Shop as written to a Shop as meant: every default is filled in. What would make nonsense of the rest (a name that does
//! not fit, fields that exclude each other, reserved variables, no registry) and what would end in crash loops or in mails that
//! never leave is refused here too, for Shops that were stored under an older CRD; lengths, ranges and the other rules are left
//! to admission. What follows works on [`ValidShop`] alone.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::OwnerReference, jiff::SignedDuration};
use kube::{Resource, ResourceExt};

use crate::{
    api::{
        Begins, DeletionPolicy, DriftPolicy, EmailSpec, EnvSpec, ExposureType, JudgedBy, LinksSpec,
        LogFormat, MetricsSpec, MigrationSpec, Monitor, OnFailure, OperatorUpdates, OtlpSpec,
        OverrideKind, PauseSpec, PullPolicy, ResourcesSpec, RolloutSpec, SchedulingSpec,
        SecretKeyRef, ServiceSpec, Shop, ShopSpec, StorageSpec, TelemetrySpec, Topology,
        format::{self, Format},
    },
    config::{Config, Overrides},
    connections::per_process,
    definition::{
        Definition, KeyDefinition, SchemaDefinition,
        built_in::{self, BuiltIn},
    },
    hash::Fingerprint,
    model::{
        canary::{self, Step},
        defaults,
        overrides::{self, Override},
        place::{Place, Server},
        topology,
        windows::{ValidWindow, windows},
    },
    naming::names::ServiceName,
    quantity::seconds,
};

/// How long a migration may take unless the Shop says otherwise.
const MIGRATION_DEADLINE_SECONDS: i64 = 3600;

/// How long all new pods of a service must go on well.
const GATE: SignedDuration = SignedDuration::from_secs(30);
/// How long a rollout may go without getting another pod ready.
const DEADLINE: SignedDuration = SignedDuration::from_mins(5);

/// Where a Shop does not say: the chart's PodMonitor asks the pods of all Shops, and nobody is to be asked twice.
const NO_MONITOR: MetricsSpec = MetricsSpec {
    monitor: Monitor::None,
    interval: None,
    labels: BTreeMap::new(),
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
    /// The services, with the one that hosts others where there is one.
    pub services: BTreeMap<ServiceName, ValidService>,
    /// The one that would host others, under `topology: Services`: it is needed until nothing is left with it.
    pub idle_host: Option<IdleHost>,
    /// The version of the services that have none of their own.
    pub version: String,
    /// How its releases go.
    pub rollout: ValidRollout,
    /// The waves that it names.
    pub waves: Vec<Vec<ServiceName>>,
    /// No new release of any service begins.
    pub pause: Option<PauseSpec>,
    /// When pods get what another operator makes of the same Shop.
    pub operator_updates: OperatorUpdates,
    /// When releases may begin, where they wait for that.
    pub windows: Vec<ValidWindow>,
    /// What each database's pod gets.
    pub database: ValidBackend,
    /// What the broker's pod gets.
    pub broker: ValidBackend,
    /// What becomes of data when the Shop is deleted.
    pub deletion_policy: DeletionPolicy,
    /// How mail leaves the shop.
    pub email: Option<EmailSpec>,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// The headers that the collector wants to see.
    pub otlp_headers: Option<SecretKeyRef>,
    /// The certificates by which it is known.
    pub otlp_ca: Option<SecretKeyRef>,
    /// The share of traces that is kept.
    pub sampling: Option<String>,
    /// Filter directives for logs.
    pub log_level: String,
    /// How their lines look.
    pub log_format: LogFormat,
    /// Who asks for metrics.
    pub metrics: MetricsSpec,
    /// Where people look at traces and logs.
    pub links: LinksSpec,
    /// The namespace whose operator may connect to databases.
    pub operator_namespace: String,
    /// Where DNS listens.
    pub dns_ports: Vec<u16>,
    /// Where the API server does.
    pub api_server_ports: Vec<u16>,
}

/// A host that nobody asks for.
#[derive(Clone, Debug)]
pub struct IdleHost {
    /// As far as it is known.
    pub service: ValidService,
    /// What of it is wrong, which matters where it still hosts something.
    pub wrong: Vec<String>,
}

/// Which image of a database or the broker is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChoice {
    /// By the Shop.
    pub asked: Option<String>,
    /// By the operator, for a volume that is new.
    pub default: String,
}

/// What the pod of a database or of the broker gets.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidBackend {
    /// Its volume.
    pub storage: StorageSpec,
    /// CPU and memory.
    pub resources: ResourcesSpec,
    /// On which nodes it runs.
    pub scheduling: SchedulingSpec,
}

/// How releases go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidRollout {
    /// What becomes of one that fails.
    pub on_failure: OnFailure,
    /// How long all new pods must go on well.
    pub gate: SignedDuration,
    /// How long it may go without getting another pod ready.
    pub deadline: SignedDuration,
    /// What new pods are judged by.
    pub judged_by: JudgedBy,
    /// When a new one may begin.
    pub begins: Begins,
}

/// The Job that migrates a service's database.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidMigration {
    /// CPU and memory of its pod.
    pub resources: ResourcesSpec,
    /// How long it may take.
    pub deadline_seconds: i64,
}

/// A service whose every field is known and allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidService {
    /// Its name.
    pub name: ServiceName,
    /// Its document.
    pub definition: Definition,
    /// It comes with the operator.
    pub is_built_in: bool,
    /// It brings the stream of events to the Shop's limits.
    pub limits_stream: bool,
    /// Its process hosts others.
    pub hosts: bool,
    /// Where it is to run.
    pub place: Place,
    /// Where its database lies, if it has one.
    pub server: Server,
    /// The version asked for; none where a whole image is named.
    pub version: Option<String>,
    /// That is the version of the Shop.
    pub follows: bool,
    /// A fingerprint of all of the Shop that this service's pods follow from.
    pub asked: String,
    /// No new release of it begins.
    pub pause: Option<PauseSpec>,
    /// The image that is to run.
    pub image: String,
    /// Who decides how many pods run.
    pub replicas: Replicas,
    /// With how many new pods its releases begin; nothing where they begin without.
    pub canary: Vec<Step>,
    /// What becomes of what somebody else changes on its objects.
    pub drift_policy: DriftPolicy,
    /// There may be pods of a canary.
    pub has_canary: bool,
    /// CPU and memory of a pod.
    pub resources: ResourcesSpec,
    /// On which nodes pods run, those of the migration too.
    pub scheduling: SchedulingSpec,
    /// The user's own labels of pods, those of the migration too.
    pub pod_labels: BTreeMap<String, String>,
    /// The user's own annotations of pods, those of the migration too.
    pub pod_annotations: BTreeMap<String, String>,
    /// The Job that migrates the database.
    pub migration: ValidMigration,
    /// The user's own environment.
    pub env: Vec<EnvSpec>,
    /// Its pods may ask the API server, and the administration of all services.
    pub operates: bool,
    /// What the user has otherwise in single objects.
    pub overrides: Vec<Override>,
    /// The port of every node on which it is reached.
    pub node_port: Option<i32>,
}

impl ValidService {
    /// What is known of the schema of the image that is to run. The document of a service that comes with the operator is that of the
    /// operator's own version.
    pub fn schema(&self) -> Option<&SchemaDefinition> {
        let of_operator = self.version.as_deref() == Some(env!("CARGO_PKG_VERSION"));
        let schema = self.definition.schema.as_ref();
        schema.filter(|_| of_operator || !self.is_built_in)
    }
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

impl ValidShop {
    /// The services that call this one.
    pub fn callers(&self, service: &ServiceName) -> impl Iterator<Item = &ServiceName> {
        let calls = move |caller: &&ValidService| {
            let mut calls = caller.definition.calls.iter();
            calls.any(|call| call.service == service.as_str())
        };
        self.services
            .values()
            .filter(calls)
            .map(|caller| &caller.name)
    }

    /// The keys that a service has in this Shop. One that is optional comes with the first who shows it: an update of the operator that
    /// brings one changes no Secret of a Shop that has no use for it, and so rolls no pod.
    pub fn keys_of<'a>(
        &'a self,
        service: &'a ValidService,
    ) -> impl Iterator<Item = &'a KeyDefinition> {
        let is_shown = move |key: &KeyDefinition| {
            let mut calls = self.services.values().flat_map(|of| &of.definition.calls);
            calls.any(|call| {
                let token = call.token.as_ref();
                call.service == service.name.as_str() && token.is_some_and(|t| t.key == key.name)
            })
        };
        let keys = service.definition.keys.iter();
        keys.filter(move |key| !key.optional || is_shown(key))
    }
}

impl ValidService {
    /// The most pods that are wanted at a time, with those of a canary; none where someone else decides.
    pub fn most_pods(&self) -> Option<i32> {
        let most = self.replicas.most()?;
        Some(with_canary(most, &self.canary))
    }
}

/// So many pods and those of a canary beside them.
fn with_canary(pods: i32, steps: &[Step]) -> i32 {
    let canary = steps.iter().map(|step| step.pods(pods)).max();
    pods.saturating_add(canary.unwrap_or(0))
}

impl Replicas {
    /// The most pods that are wanted at a time; none where someone else decides.
    pub fn most(self) -> Option<i32> {
        match self {
            Self::Unmanaged => None,
            Self::Fixed(count) => Some(count),
            Self::Autoscaled { max, .. } => Some(max),
        }
    }
}

/// Checks a Shop and fills in its defaults.
///
/// # Errors
/// All that is wrong, each as one sentence that begins with the field's path.
pub fn validate(shop: &Shop, config: &Config) -> Result<ValidShop, Vec<String>> {
    let mut wrong = Vec::new();
    let spec = &shop.spec;
    check_name(&shop.name_any(), &mut wrong);
    check_formats(spec, &mut wrong);
    overrides::refuse(config.overrides, spec.services.iter(), &mut wrong);
    let images = spec.images.clone().unwrap_or_default();
    let registry = images.registry.or_else(|| config.image_registry.clone());
    let mut services: BTreeMap<_, _> = topology::services(&spec.services, &mut wrong)
        .into_iter()
        .map(|(name, service)| {
            let service = valid_service(
                shop,
                &name,
                service,
                registry.as_deref(),
                config,
                &mut wrong,
            );
            (name, service)
        })
        .collect();
    let idle_host = match spec.topology.unwrap_or_default() {
        Topology::Monolith => {
            let host = host(shop, registry.as_deref(), config, &mut wrong);
            services.insert(host.name.clone(), host);
            None
        }
        Topology::Services => {
            let mut wrong = Vec::new();
            let service = host(shop, registry.as_deref(), config, &mut wrong);
            Some(IdleHost { service, wrong })
        }
    };

    check_node_ports(spec, &services, &mut wrong);

    let telemetry = spec.telemetry.clone().unwrap_or_default();
    let otlp = telemetry.otlp;
    let from = |from: fn(&OtlpSpec) -> &Option<SecretKeyRef>| from(otlp.as_ref()?).clone();
    let (otlp_headers, otlp_ca) = (from(|otlp| &otlp.headers_from), from(|otlp| &otlp.ca_from));
    let logs = telemetry.logs.unwrap_or_default();
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
        idle_host,
        version: spec.version.clone(),
        waves: waves(spec, &services, &mut wrong),
        rollout: rollout(spec.rollout.clone().unwrap_or_default()),
        pause: spec.pause.clone(),
        operator_updates: spec.operator_updates.unwrap_or_default(),
        windows: windows(spec, &mut wrong),
        database: ValidBackend {
            storage: spec.database.storage.clone(),
            resources: defaults::DATABASE.fill(spec.database.resources.as_ref()),
            scheduling: spec.database.scheduling.clone().unwrap_or_default(),
        },
        broker: ValidBackend {
            storage: spec.broker.storage.clone(),
            resources: defaults::BROKER.fill(spec.broker.resources.as_ref()),
            scheduling: spec.broker.scheduling.clone().unwrap_or_default(),
        },
        deletion_policy: spec.database.deletion_policy,
        services,
        email: spec.email.clone(),
        otlp_endpoint: otlp.map(|otlp| otlp.endpoint),
        otlp_headers,
        otlp_ca,
        sampling: telemetry.sampling,
        log_level: logs.level.unwrap_or_else(|| "info".into()),
        log_format: logs.format.unwrap_or_default(),
        metrics: telemetry.metrics.unwrap_or(NO_MONITOR),
        links: telemetry.links.unwrap_or_default(),
        operator_namespace: config.pod_namespace.clone(),
        dns_ports: config.dns_ports.clone(),
        api_server_ports: config.api_server_ports.clone(),
    };
    if wrong.is_empty() {
        Ok(valid)
    } else {
        Err(wrong)
    }
}

fn waves(
    spec: &ShopSpec,
    services: &BTreeMap<ServiceName, ValidService>,
    wrong: &mut Vec<String>,
) -> Vec<Vec<ServiceName>> {
    let waves = spec.rollout.iter().flat_map(|rollout| &rollout.waves);
    let mut named = BTreeSet::new();
    let mut read = |(number, wave): (usize, &Vec<String>)| {
        for name in wave {
            let path = format!("spec.rollout.waves[{number}]");
            let is_known = services.contains_key(name.as_str())
                || spec.services.contains_key(name)
                || built_in::is_in_every_shop(name);
            if !is_known {
                wrong.push(format!("{path}: this Shop has no service {name}"));
            }
            if !named.insert(name.clone()) {
                wrong.push(format!("{path}: {name} stands in two waves"));
            }
        }
        wave.iter().map(|name| name.as_str().into()).collect()
    };
    waves.enumerate().map(&mut read).collect()
}

fn rollout(spec: RolloutSpec) -> ValidRollout {
    let time = |text: Option<String>, usual| {
        let asked = text.as_deref().and_then(seconds);
        asked.map_or(usual, SignedDuration::from_secs)
    };
    ValidRollout {
        on_failure: spec.on_failure.unwrap_or_default(),
        gate: time(spec.gate, GATE),
        deadline: time(spec.deadline, DEADLINE),
        judged_by: spec.judged_by.unwrap_or_default(),
        begins: spec.begins.unwrap_or_default(),
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

/// The texts that a program reads later.
fn check_formats(spec: &ShopSpec, wrong: &mut Vec<String>) {
    let mut check = |path: &str, text: Option<&String>, format: &Format| {
        if text.is_some_and(|text| !format.admits(text)) {
            wrong.push(format!("{path}: {}", format.message()));
        }
    };
    let images = spec.images.as_ref();
    let registry = images.and_then(|images| images.registry.as_ref());
    check("spec.images.registry", registry, &format::REGISTRY);
    let postgres = images.and_then(|images| images.postgres.as_ref());
    check("spec.images.postgres", postgres, &format::IMAGE);
    let nats = images.and_then(|images| images.nats.as_ref());
    check("spec.images.nats", nats, &format::IMAGE);

    let email = spec.email.as_ref();
    let from = email.map(|email| &email.from);
    check("spec.email.from", from, &format::SENDER);
    let smtp = email.and_then(|email| email.smtp.as_ref());
    let host = smtp.map(|smtp| &smtp.host);
    check("spec.email.smtp.host", host, &format::SMTP_HOST);

    let telemetry = spec.telemetry.as_ref();
    let otlp = telemetry.and_then(|telemetry| telemetry.otlp.as_ref());
    let endpoint = otlp.map(|otlp| &otlp.endpoint);
    check(
        "spec.telemetry.otlp.endpoint",
        endpoint,
        &format::OTLP_ENDPOINT,
    );
    let logs = telemetry.and_then(|telemetry| telemetry.logs.as_ref());
    let level = logs.and_then(|logs| logs.level.as_ref());
    check("spec.telemetry.logs.level", level, &format::LOG_LEVEL);
    let links = telemetry.and_then(|telemetry| telemetry.links.as_ref());
    let trace = links.and_then(|links| links.trace.as_ref());
    check("spec.telemetry.links.trace", trace, &format::TRACE_LINK);
    let logs = links.and_then(|links| links.logs.as_ref());
    check("spec.telemetry.links.logs", logs, &format::LOGS_LINK);
}

fn host(
    shop: &Shop,
    registry: Option<&str>,
    config: &Config,
    wrong: &mut Vec<String>,
) -> ValidService {
    let name = built_in::host_name().into();
    let host = valid_service(
        shop,
        &name,
        built_in::host().clone(),
        registry,
        config,
        wrong,
    );
    if host.operates {
        wrong.push(format!(
            "spec.services.{name}.operates: name it for the service that looks after the Shop, wherever that runs"
        ));
    }
    for env in &host.env {
        // What it tells the process of those that it hosts.
        if env.name == "SERVICES" || env.name.contains("__") {
            wrong.push(format!(
                "spec.services.{name}.env[{}]: this name is set by the operator; set what is for one service in its own env",
                env.name
            ));
        }
    }
    host
}

fn valid_service(
    shop: &Shop,
    name: &ServiceName,
    BuiltIn {
        definition,
        limits_stream,
        hosts,
        guest_port: _,
        optional: _,
        calls_over_grpc: _,
    }: BuiltIn,
    registry: Option<&str>,
    config: &Config,
    wrong: &mut Vec<String>,
) -> ValidService {
    let spec = service_spec(shop, name).cloned().unwrap_or_default();
    let path = format!("spec.services.{name}");
    if spec.version.is_some() && spec.image.is_some() {
        wrong.push(format!("{path}: version and image exclude each other"));
    }
    if spec
        .image
        .as_ref()
        .is_some_and(|image| !format::IMAGE.admits(image))
    {
        wrong.push(format!("{path}.image: {}", format::IMAGE.message()));
    }
    let own = built_in::variables_of(&definition);
    for env in spec
        .env
        .iter()
        .filter(|env| built_in::is_reserved(&env.name) || own.contains(&env.name))
    {
        wrong.push(format!(
            "{path}.env[{}]: this name is set by the operator",
            env.name
        ));
    }
    let overrides = match config.overrides {
        Overrides::Allowed => overrides::read(&path, name, &definition, &spec, wrong),
        // Not even read: whoever may not patch objects is not to keep the operator busy with it either.
        Overrides::Refused => Vec::new(),
    };
    let replicas = replicas(&path, &spec, wrong);
    let canary = canary(&path, &spec, hosts, wrong);
    let is_built_in = hosts || built_in::services().contains_key(name);
    let place = match (shop.spec.topology.unwrap_or_default(), spec.extracted) {
        (Topology::Monolith, None | Some(false)) if is_built_in && !hosts => Place::Hosted,
        (Topology::Monolith | Topology::Services, _) => Place::Apart,
    };
    let default_resources = match replicas {
        _ if hosts => defaults::HOST,
        Replicas::Unmanaged | Replicas::Fixed(_) => defaults::SERVICE,
        Replicas::Autoscaled { .. } => defaults::AUTOSCALED_SERVICE,
    };
    let calls = definition.calls.iter();
    let calls: Vec<_> = calls.map(|call| call.service.clone()).collect();
    let calls: Vec<_> = calls.iter().map(String::as_str).collect();
    let version_of_shop = spec.version.is_none();
    let (version, image) = match (spec.image, registry) {
        (Some(image), _) => (None, image),
        (None, Some(registry)) => {
            let version = spec.version.unwrap_or_else(|| shop.spec.version.clone());
            let image = format!("{registry}/{name}:{version}");
            (Some(version), image)
        }
        (None, None) => {
            wrong.push(format!(
                "spec.images.registry: needed for {name}, because the operator has no default of its own"
            ));
            (None, String::new())
        }
    };
    let asked = asked(
        &shop.spec,
        name,
        &calls,
        &canary,
        limits_stream,
        definition.sends_mail,
    );
    ValidService {
        name: name.clone(),
        definition,
        is_built_in,
        limits_stream,
        hosts,
        place,
        server: match place {
            Place::Apart => Server::Own,
            Place::Hosted => Server::Host,
        },
        follows: version.is_some() && version_of_shop,
        asked,
        pause: spec.pause,
        version,
        image,
        replicas,
        drift_policy: spec.drift_policy.unwrap_or_default(),
        has_canary: !canary.is_empty(),
        canary,
        resources: default_resources.fill(spec.resources.as_ref()),
        scheduling: spec.scheduling.unwrap_or_default(),
        pod_labels: spec.pod_labels,
        pod_annotations: spec.pod_annotations,
        migration: migration(spec.migration.unwrap_or_default()),
        env: spec.env,
        operates: spec.operates.unwrap_or_default(),
        overrides,
        node_port: node_port(shop, name),
    }
}

/// A fingerprint of the fields that the service's pods follow from. Of other services only how those are reached that it calls counts. What
/// is not here reaches pods together with the next change of what is. Whoever changes this makes every service look as if something else
/// were asked of it, and the next operator would roll them.
fn asked(
    spec: &ShopSpec,
    service: &ServiceName,
    calls: &[&str],
    canary: &[Step],
    limits_stream: bool,
    sends_mail: bool,
) -> String {
    let own = spec.services.get(service.as_str()).cloned();
    let own = own.unwrap_or_default();
    // As many pods share the connections of a database; and an autoscaler goes by what a pod requests.
    let most = own.autoscaling.as_ref().map(|scaling| scaling.max_replicas);
    let most = most.or(own.replicas);
    let most = most.map(|most| with_canary(most, canary));
    let connections = most.and_then(per_process);
    let is_autoscaled = own.autoscaling.is_some();
    let mut own = ServiceSpec {
        enabled: None,
        pause: None,
        replicas: None,
        autoscaling: None,
        canary: None,
        drift_policy: None,
        ..own
    };
    own.overrides.retain(|of| match of.kind {
        OverrideKind::Deployment | OverrideKind::Job => true,
        OverrideKind::Service
        | OverrideKind::HorizontalPodAutoscaler
        | OverrideKind::PodDisruptionBudget
        | OverrideKind::NetworkPolicy
        | OverrideKind::ServiceAccount => false,
    });
    let follows = own.version.is_none() && own.image.is_none();
    let others = spec.services.iter();
    let others = others.filter(|(name, _)| calls.contains(&name.as_str()));
    let others: Vec<_> = others
        .filter_map(|(name, other)| Some((name, other.definition.as_ref()?)))
        .collect();
    let images = spec.images.as_ref();
    let images = images.map(|images| (&images.registry, &images.pull_policy, &images.pull_secrets));
    Fingerprint::of(&(
        follows.then_some(&spec.version),
        (own, connections, is_autoscaled),
        others,
        images,
        (
            &spec.topology,
            telemetry_of_pods(spec),
            sends_mail.then_some(&spec.email),
        ),
        limits_stream.then_some(&spec.broker.storage),
    ))
    .hex()
}

/// Monitors are no part of pods; annotations are.
fn telemetry_of_pods(spec: &ShopSpec) -> Option<TelemetrySpec> {
    let telemetry = spec.telemetry.clone()?;
    let Some(metrics) = &telemetry.metrics else {
        return Some(telemetry);
    };
    let annotates = metrics.monitor == Monitor::Annotations;
    let of_pods = TelemetrySpec {
        metrics: telemetry.metrics.clone().filter(|_| annotates),
        ..telemetry
    };
    // As without the whole field.
    (of_pods != TelemetrySpec::default()).then_some(of_pods)
}

fn service_spec<'a>(shop: &'a Shop, service: &ServiceName) -> Option<&'a ServiceSpec> {
    shop.spec.services.get(service.as_str())
}

fn node_port(shop: &Shop, service: &ServiceName) -> Option<i32> {
    let exposure = shop.spec.exposure.as_ref()?;
    match exposure.type_ {
        ExposureType::ClusterIP => None,
        ExposureType::NodePort => exposure.node_ports.as_ref()?.get(service.as_str()).copied(),
    }
}

/// A port of a service that is switched off may stay.
fn check_node_ports(
    spec: &ShopSpec,
    services: &BTreeMap<ServiceName, ValidService>,
    wrong: &mut Vec<String>,
) {
    let exposure = spec.exposure.as_ref();
    let ports = exposure.and_then(|exposure| exposure.node_ports.as_ref());
    for name in ports.into_iter().flat_map(BTreeMap::keys) {
        let name = name.as_str();
        let is_known = services.contains_key(name)
            || spec.services.contains_key(name)
            || built_in::is_in_every_shop(name);
        if name == built_in::host_name() {
            wrong.push(format!(
                "spec.exposure.nodePorts.{name}: name each service by its own name, wherever it runs"
            ));
        } else if !is_known {
            wrong.push(format!(
                "spec.exposure.nodePorts.{name}: this Shop has no such service"
            ));
        }
    }
}

/// The process that hosts others rolls without any release.
fn canary(path: &str, spec: &ServiceSpec, hosts: bool, wrong: &mut Vec<String>) -> Vec<Step> {
    let asked = spec.canary.as_ref();
    if hosts && asked.is_some() {
        wrong.push(format!(
            "{path}.canary: the process that hosts others rolls without one; name it for a service that is extracted"
        ));
    }
    canary::steps(path, asked.filter(|_| !hosts), wrong)
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

fn migration(spec: MigrationSpec) -> ValidMigration {
    let deadline = spec.deadline.as_deref().and_then(seconds);
    ValidMigration {
        resources: defaults::SERVICE.fill(spec.resources.as_ref()),
        deadline_seconds: deadline.unwrap_or(MIGRATION_DEADLINE_SECONDS),
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
