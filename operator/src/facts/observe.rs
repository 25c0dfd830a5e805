//! What there is of a Shop in the cluster: a snapshot from the stores, and the few Secrets of the user that it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::Job,
        core::v1::{Container, Event, PersistentVolumeClaim, Pod, Secret},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, ResourceExt, api::ListParams};

use crate::{
    api::SchemaStatus,
    cluster::Cluster,
    error::{Class, Error},
    facts::{location, migration, monitors::MonitorKinds},
    hash::Fingerprint,
    model::{
        metadata::is_ours,
        place::Place,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{COMPONENT_LABEL, Component, NAME_LABEL, Part, part_of},
        names::{self, ServiceName},
    },
};

/// What begins within this time does not hang.
const HANGS: SignedDuration = SignedDuration::from_secs(20);

/// What there is of a Shop in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// By service.
    pub services: BTreeMap<ServiceName, ObservedService>,
    /// Services that the Shop does not have and of which pods have not ended, each with whether these are its own or its database's.
    pub left: BTreeSet<(ServiceName, Component)>,
    /// The broker.
    pub broker: ObservedBackend,
    /// The Secrets of the user that the Shop names.
    pub user_secrets: Vec<UserSecret>,
    /// Which kinds of monitors the cluster has.
    pub monitors: MonitorKinds,
    /// What Kubernetes says of objects that hang without a reason of their own, by name: the last warning among their events.
    pub warnings: Warnings,
}

/// Warnings by the name of the object.
pub type Warnings = BTreeMap<String, String>;

/// What there is of one service.
#[derive(Clone, Debug, Default)]
pub struct ObservedService {
    /// Its Deployment.
    pub deployment: Option<Arc<Deployment>>,
    /// Its pods, whatever their age, by name.
    pub pods: Vec<Arc<Pod>>,
    /// The Deployment of its canary.
    pub canary: Option<Arc<Deployment>>,
    /// The pods of that.
    pub canary_pods: Vec<Arc<Pod>>,
    /// The templates of its pods that are kept.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// The Jobs of its migrations, of whatever image, each with its pods.
    pub migrations: Vec<(Arc<Job>, Vec<Arc<Pod>>)>,
    /// The migration of the image that is to run.
    pub migration: Option<Arc<Job>>,
    /// The pods of that Job.
    pub migration_pods: Vec<Arc<Pod>>,
    /// A Job of another image whose migration goes on.
    pub other_migration: Option<String>,
    /// Whether its autoscaler works.
    pub autoscaler: Option<Arc<HorizontalPodAutoscaler>>,
    /// Its database, or the server that it shares.
    pub database: ObservedBackend,
    /// Whose pods answer for it.
    pub answers: Option<Place>,
}

impl ObservedService {
    /// Which code runs on the schema of its database, as the last migration said that has ended well in the volume that is there.
    pub fn schema(&self) -> Option<SchemaStatus> {
        let claim = self.database.claim.as_deref()?;
        let of_volume = self.migrations.iter();
        let of_volume = of_volume.filter(|(job, _)| !migration::is_of_another_volume(job, claim));
        let said = of_volume.filter_map(|(job, pods)| {
            let mut said = pods.iter().filter_map(|pod| migration::said_by(job, pod));
            Some((job.creation_timestamp(), said.next()?))
        });
        // They do not overlap. When they ended is told by the clocks of their nodes.
        let (_, schema) = said.max_by(|(one, _), (other, _)| one.cmp(other))?;
        Some(schema)
    }

    /// Takes the Job of this name for the migration of the image that is to run.
    pub fn look_at_migration(&mut self, name: &str) {
        let mut jobs = self.migrations.iter();
        let found = jobs.find(|(job, _)| job.name_any() == name).cloned();
        let (job, pods) = found.unzip();
        self.migration = job;
        self.migration_pods = pods.unwrap_or_default();
        let mut others = self.migrations.iter();
        let runs =
            others.find(|(job, pods)| job.name_any() != name && migration::is_running(job, pods));
        self.other_migration = runs.map(|(job, _)| job.name_any());
    }
}

/// What there is of a database or the broker.
#[derive(Clone, Debug, Default)]
pub struct ObservedBackend {
    /// Its StatefulSet.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Its pods: one, or two while one is being replaced.
    pub pods: Vec<Arc<Pod>>,
    /// Its volume's claim.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
}

/// On the StatefulSet of a database: the incarnation of which role and database are made.
pub const PREPARED_ANNOTATION: &str = "shopkeeper.dev/prepared";

impl ObservedBackend {
    /// The incarnations for which role and database were made, with commas between them where several services share it.
    pub fn prepared_for(&self) -> Option<&str> {
        let annotations = self.stateful_set.as_ref()?.annotations();
        annotations.get(PREPARED_ANNOTATION).map(String::as_str)
    }

    /// Whether role and database were made for this incarnation.
    pub fn is_prepared_for(&self, incarnation: &str) -> bool {
        let noted = self.prepared_for().unwrap_or_default();
        noted.split(',').any(|noted| noted == incarnation)
    }

    /// The image of its StatefulSet.
    pub fn image(&self) -> Option<&str> {
        self.container()?.image.as_deref()
    }

    /// The arguments of its StatefulSet's container.
    pub fn arguments(&self) -> Option<&[String]> {
        self.container()?.args.as_deref()
    }

    /// Whether its StatefulSet's container has this variable.
    pub fn has_variable(&self, name: &str) -> bool {
        let variables = self.container().into_iter().flat_map(|it| &it.env);
        variables.flatten().any(|variable| variable.name == name)
    }

    fn container(&self) -> Option<&Container> {
        let template = &self.stateful_set.as_ref()?.spec.as_ref()?.template;
        template.spec.as_ref()?.containers.first()
    }

    /// The size that its claim asks for, which may differ from what the Shop says: a claim that was kept, one that cannot grow.
    pub fn claim_size(&self) -> Option<&str> {
        requested_size(self.claim.as_ref()?)
    }

    /// The size in its StatefulSet's claim template, which cannot be changed.
    pub fn template_size(&self) -> Option<&str> {
        let spec = self.stateful_set.as_ref()?.spec.as_ref()?;
        requested_size(spec.volume_claim_templates.as_ref()?.first()?)
    }

    /// Its pod serves, and nothing is left to roll.
    pub fn is_serving(&self) -> bool {
        self.stateful_set.as_deref().is_some_and(is_serving)
    }
}

/// The size that a claim asks for.
pub fn requested_size(claim: &PersistentVolumeClaim) -> Option<&str> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    let size = resources.requests.as_ref()?.get("storage")?;
    Some(size.0.as_str())
}

/// The pod of a StatefulSet serves, and nothing is left to roll.
pub fn is_serving(set: &StatefulSet) -> bool {
    set.status.as_ref().is_some_and(|status| {
        let is_rolled = match (&status.current_revision, &status.update_revision) {
            (Some(current), Some(update)) => current == update,
            // A status without revisions says nothing about it.
            (None, _) | (_, None) => true,
        };
        status.observed_generation >= set.metadata.generation
            && status.ready_replicas.unwrap_or(0) > 0
            && is_rolled
    })
}

/// A Secret that the user made and the Shop names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSecret {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What was found under this name.
    pub found: Found,
}

/// What a Secret of the user is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The login at the mail server.
    Mail,
    /// The login at a registry.
    Registry,
    /// What services show to the collector of traces.
    OtlpHeaders,
    /// By what they know it.
    OtlpCa,
}

impl Purpose {
    /// The field that names the Secret.
    pub fn field(self) -> &'static str {
        match self {
            Self::Mail => "spec.email.smtp.credentialsFrom",
            Self::Registry => "spec.images.pullSecrets",
            Self::OtlpHeaders => "spec.telemetry.otlp.headersFrom",
            Self::OtlpCa => "spec.telemetry.otlp.caFrom",
        }
    }
}

/// What was found under the name of a Secret of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All keys that it must have, with this fingerprint of its content.
    Usable(String),
    /// A Secret that lacks this key.
    Incomplete(String),
    /// No Secret.
    Nothing,
    /// The API server refuses to show it; the text says why.
    Refused(String),
}

impl UserSecret {
    /// A fingerprint of its content, where there is all that it must have.
    pub fn content(&self) -> Option<&str> {
        match &self.found {
            Found::Usable(content) => Some(content),
            Found::Incomplete(_) | Found::Nothing | Found::Refused(_) => None,
        }
    }
}

/// No container of it runs any more, and none will.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Takes the snapshot.
///
/// # Errors
/// When the API server does not answer (that it refuses a Secret of the user, or knows of none, is no error).
pub async fn observe(
    shop: &ValidShop,
    cluster: &Cluster,
    now: Timestamp,
) -> Result<Observed, Error> {
    let pods = Pods(cluster.pods.of_shop(&shop.namespace, &shop.name));
    let jobs = cluster.jobs.of_shop(&shop.namespace, &shop.name);
    let revisions = cluster.revisions.of_shop(&shop.namespace, &shop.name);
    let backend = |name: String, pods: Vec<Arc<Pod>>| ObservedBackend {
        claim: cluster
            .claims
            .get(&shop.namespace, &shop.name, &names::claim(&name)),
        stateful_set: cluster
            .stateful_sets
            .get(&shop.namespace, &shop.name, &name),
        pods,
    };
    let deployment = |name: &str| cluster.deployments.get(&shop.namespace, &shop.name, name);
    let service = |wanted: &ValidService| {
        let service = &wanted.name;
        let name = names::service(&shop.name, service);
        let migration = names::migration(&shop.name, service, &shop.carrier(wanted).image);
        let server = shop.server_of(wanted);
        let jobs = jobs
            .iter()
            .filter(|job| is_of(&***job, service.as_str(), Component::Migration));
        let mut observed = ObservedService {
            deployment: deployment(&name),
            canary: deployment(&names::canary(&shop.name, service)),
            canary_pods: pods.of(service.as_str(), Component::Canary),
            autoscaler: cluster.autoscalers.get(&shop.namespace, &shop.name, &name),
            pods: pods.of(service.as_str(), Component::Service),
            // A StatefulSet keeps revisions of its own.
            revisions: revisions
                .iter()
                .filter(|kept| is_of(&***kept, service.as_str(), Component::Service))
                .filter(|kept| is_ours(shop, &***kept))
                .cloned()
                .collect(),
            migrations: jobs.map(|job| (job.clone(), pods.of_job(job))).collect(),
            migration: None,
            migration_pods: Vec::new(),
            other_migration: None,
            database: backend(
                names::database(&shop.name, server),
                pods.of(server.as_str(), Component::Database),
            ),
            answers: location::answers(shop, cluster, wanted),
        };
        observed.look_at_migration(&migration);
        observed
    };
    let left = left(shop, &pods.0);
    let mut observed = Observed {
        left,
        services: shop
            .services
            .values()
            .map(|wanted| (wanted.name.clone(), service(wanted)))
            .collect(),
        broker: backend(
            names::broker(&shop.name),
            pods.of("nats", Component::Broker),
        ),
        user_secrets: user_secrets(shop, cluster).await?,
        monitors: MonitorKinds {
            pods: cluster.pod_monitors.standing(),
            services: cluster.service_monitors.standing(),
        },
        warnings: Warnings::new(),
    };
    observed.warnings = warnings(shop, cluster, &observed, &pods.0, now).await;
    Ok(observed)
}

/// Asks for the events of what hangs. They are a courtesy: without them the status says less, and nothing else changes.
async fn warnings(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> Warnings {
    let backends = observed.services.values().map(|service| &service.database);
    let sets = backends
        .chain([&observed.broker])
        .filter(|backend| backend.pods.is_empty())
        .filter_map(|backend| backend.stateful_set.as_deref())
        .filter(|set| !is_serving(set) && is_older_than(*set, HANGS, now))
        .map(ResourceExt::name_any);
    let pods = pods
        .iter()
        .filter(|pod| is_pending(pod) && is_older_than(&***pod, HANGS, now))
        .map(|pod| pod.name_any());
    let mut warnings = Warnings::new();
    // Several services may share a server.
    for name in sets.chain(pods).collect::<BTreeSet<_>>() {
        warnings.extend(
            last_warning(shop, cluster, &name)
                .await
                .map(|text| (name, text)),
        );
    }
    warnings
}

async fn last_warning(shop: &ValidShop, cluster: &Cluster, name: &str) -> Option<String> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &shop.namespace);
    let about = format!("involvedObject.name={name},type=Warning");
    let events = events.list(&ListParams::default().fields(&about)).await;
    let events = events.inspect_err(|error| tracing::debug!(%error, name, "no events"));
    let last = events.ok()?.items.into_iter().max_by_key(|event| {
        let series = event.series.as_ref();
        let series = series.and_then(|series| series.last_observed_time.clone());
        let seen = series
            .or_else(|| event.event_time.clone())
            .map(|time| time.0);
        seen.or_else(|| event.last_timestamp.clone().map(|time| time.0))
    })?;
    last.message
}

fn is_older_than(object: &impl ResourceExt, age: SignedDuration, now: Timestamp) -> bool {
    object
        .creation_timestamp()
        .is_some_and(|made| now.duration_since(made.0) > age)
}

fn is_pending(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Pending")
}

/// All pods of a Shop.
struct Pods(Vec<Arc<Pod>>);

impl Pods {
    fn of(&self, app: &str, component: Component) -> Vec<Arc<Pod>> {
        let pods = self.0.iter();
        pods.filter(|pod| is_of(&***pod, app, component))
            .cloned()
            .collect()
    }

    fn of_job(&self, job: &Job) -> Vec<Arc<Pod>> {
        let owned = |pod: &&Arc<Pod>| {
            let owners = pod.owner_references();
            job.metadata.uid.is_some()
                && owners
                    .iter()
                    .any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
        };
        self.0.iter().filter(owned).cloned().collect()
    }
}

/// Migrations count as their service: they need its database as its other pods do.
fn left(shop: &ValidShop, pods: &[Arc<Pod>]) -> BTreeSet<(ServiceName, Component)> {
    let has_ended = |pod: &Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let left = |pod: &Arc<Pod>| {
        let Part::Service(service) = part_of(&**pod) else {
            return None;
        };
        let component = pod.labels().get(COMPONENT_LABEL).map(String::as_str);
        let component = match component == Some(Component::Database.as_str()) {
            true => Component::Database,
            false => Component::Service,
        };
        let has_left = !shop.services.contains_key(&service);
        (has_left && !has_ended(pod)).then_some((service, component))
    };
    // Those that left while another one's pods ran them run as long as these do.
    let guests = pods.iter().filter(|pod| !has_ended(pod)).flat_map(|pod| {
        let guests = location::guests_of(&**pod).map(ServiceName::from);
        let left = guests.filter(|guest| !shop.services.contains_key(guest));
        left.map(|guest| (guest, Component::Service))
            .collect::<Vec<_>>()
    });
    pods.iter().filter_map(left).chain(guests).collect()
}

fn is_of(object: &impl ResourceExt, app: &str, component: Component) -> bool {
    let is = |label, value| object.labels().get(label).map(String::as_str) == Some(value);
    is(NAME_LABEL, app) && is(COMPONENT_LABEL, component.as_str())
}

/// The Secrets of the user that a Shop names, each with the keys that it must have.
fn named_secrets(shop: &ValidShop) -> Vec<(&str, Purpose, Vec<&str>)> {
    let smtp = shop.email.as_ref().and_then(|email| email.smtp.as_ref());
    let login = smtp.and_then(|smtp| smtp.credentials_from.as_ref());
    let keys = || vec!["username", "password"];
    let login = login.map(|login| (login.name.as_str(), Purpose::Mail, keys()));
    let registries = shop.pull_secrets.iter();
    let registries = registries.map(|name| (name.as_str(), Purpose::Registry, vec![]));
    let otlp = [
        (&shop.otlp_headers, Purpose::OtlpHeaders),
        (&shop.otlp_ca, Purpose::OtlpCa),
    ];
    let otlp = otlp.into_iter().filter_map(|(from, purpose)| {
        let from = from.as_ref()?;
        Some((from.name.as_str(), purpose, vec![from.key.as_str()]))
    });
    login.into_iter().chain(registries).chain(otlp).collect()
}

async fn user_secrets(shop: &ValidShop, cluster: &Cluster) -> Result<Vec<UserSecret>, Error> {
    let mut secrets = Vec::new();
    for (name, purpose, keys) in named_secrets(shop) {
        let field = purpose.field();
        let answer = cluster
            .secrets
            .api(&shop.namespace)
            .get_opt(name)
            .await
            .map_err(Error::kube(format!(
                "Secret {name}, named by {field}, cannot be read"
            )));
        let found = match answer {
            Ok(Some(secret)) => usable(&secret, &keys),
            Ok(None) => Found::Nothing,
            Err(error) if error.class() == Class::Transient => return Err(error),
            Err(error) => Found::Refused(error.to_string()),
        };
        secrets.push(UserSecret {
            name: name.to_owned(),
            purpose,
            found,
        });
    }
    Ok(secrets)
}

fn usable(secret: &Secret, keys: &[&str]) -> Found {
    let has = |key: &str| {
        secret
            .data
            .as_ref()
            .is_some_and(|data| data.contains_key(key))
    };
    match keys.iter().find(|key| !has(key)) {
        Some(missing) => Found::Incomplete((*missing).to_owned()),
        None => Found::Usable(Fingerprint::of(&secret.data).hex()),
    }
}
