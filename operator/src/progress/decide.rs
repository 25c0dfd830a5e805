//! What is to be done, from what is wanted and what is there. No client and no clock: everything it needs is an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{Container, ContainerStateTerminated, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use crate::{
    facts::{
        Facts, ServiceView,
        database::DatabaseState,
        migration,
        observe::{ObservedBackend, ObservedService},
    },
    model::{
        place::Place,
        validate::{Replicas, ValidService},
    },
    naming::{
        labels::NAME_LABEL,
        names::{self, ServiceName},
    },
    progress::{
        pinning::{Pinned, pin},
        placement::{self, Placement, Way},
        runs::{image_in, noted, running},
        stream::stream_size,
    },
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// By service; each goes on independently of the others.
    pub services: BTreeMap<ServiceName, ServiceDecision>,
    /// The image of the broker.
    pub broker_image: Pinned,
    /// The bound of the stream of events, in bytes.
    pub stream_size: u64,
    /// The services that the host runs.
    pub guests: BTreeSet<ServiceName>,
}

/// What is to be done for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDecision {
    /// Where the migration to the image that is to run stands.
    pub migration: Migration,
    /// Whose pods answer, and on which way it is.
    pub placement: Placement,
    /// What the Deployment runs: what the Shop asks for, or, until that may run, what runs now. None where nothing may run.
    pub runs: Option<Release>,
    /// The count to be written.
    pub replicas: Option<i32>,
    /// More than one pod runs, so that a budget makes sense.
    pub disruption_budget: bool,
    /// Its PostgreSQL, where it has one.
    pub database: Option<DatabaseDecision>,
    /// Of a host whose new image must wait: for which of the services that it runs, and why.
    pub waits_for: Option<(ServiceName, Unfit)>,
}

/// Why the new image of a host must not run a service yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its database is not migrated.
    NotMigrated,
    /// It is on its way to pods of its own of another version, whose image migrates its database.
    OfAnotherVersion,
}

/// What is to be done for the PostgreSQL of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseDecision {
    /// Its image.
    pub image: Pinned,
    /// The services whose role and database are there: itself, or those that share it.
    pub prepared: BTreeSet<ServiceName>,
}

/// An image with its version, where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The image.
    pub image: String,
    /// The version.
    pub version: Option<String>,
}

/// Where a migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// There is no database.
    Unneeded,
    /// Its database is not there.
    Waiting,
    /// This Job of another image still migrates the same database.
    After(String),
    /// Its Job is to be made, or runs.
    Running,
    /// It succeeded.
    Done,
    /// It failed; the text says how.
    Failed(String),
    /// It keeps what it runs, whose migration was done long ago. No Job is made, and none goes.
    Kept,
    /// Its Job says nothing about what is there now: it goes, and comes anew.
    Superseded(Renewal),
}

/// Why a migration is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Its Job is being deleted.
    Deleted,
    /// The database's volume was replaced.
    NewVolume,
    /// A pod found an older schema than it needs: a dump was put back, or the image was built anew under its name.
    SchemaBehind,
    /// It failed, and the Shop or the database has changed since.
    Retry,
}

impl Migration {
    /// The Job is to be there.
    pub fn has_job(&self) -> bool {
        match self {
            Self::Running | Self::Done | Self::Failed(_) => true,
            Self::Unneeded | Self::Waiting | Self::After(_) | Self::Kept | Self::Superseded(_) => {
                false
            }
        }
    }

    /// The database is what the image that is to run expects.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Unneeded | Self::Done | Self::Kept => true,
            Self::Waiting
            | Self::After(_)
            | Self::Running
            | Self::Failed(_)
            | Self::Superseded(_) => false,
        }
    }
}

/// Decides for every service, and then for the one that hosts others.
pub fn decide(facts: &Facts) -> Decision {
    let (hosts, services): (Vec<_>, Vec<_>) =
        facts.services().partition(|service| service.wanted.hosts);
    let decided = |service: &ServiceView<'_>| {
        let decision = decide_service(facts, service);
        (service.name().clone(), decision)
    };
    let mut services: BTreeMap<_, _> = services.iter().map(decided).collect();
    let guests = guests(&services);
    for host in hosts {
        let decision = decide_host(facts, &host, &guests, &services);
        services.insert(host.name().clone(), decision);
    }
    Decision {
        services,
        guests,
        broker_image: pin(
            &names::broker(&facts.shop.name),
            "spec.images.nats",
            &facts.shop.nats_image,
            &facts.observed.broker,
        ),
        stream_size: stream_size(&facts.shop, &facts.observed.broker),
    }
}

fn guests(services: &BTreeMap<ServiceName, ServiceDecision>) -> BTreeSet<ServiceName> {
    let hosted = services
        .iter()
        .filter(|(_, decided)| decided.placement.hosted);
    hosted.map(|(name, _)| name.clone()).collect()
}

fn decide_service(facts: &Facts, service: &ServiceView<'_>) -> ServiceDecision {
    let migration = migration_state(facts, service);
    let placement = placement::place(
        service.wanted.place,
        service.seen.answers,
        placement::readiness(service, migration.is_done()),
        facts.ways.get(service.name()),
        facts.now,
    );
    let runs = match placement.apart {
        true => release(service, &migration),
        false => None,
    };
    decision(facts, service, migration, placement, runs)
}

/// The host has no database of its own. It runs an image once all that it hosts may run on it.
fn decide_host(
    facts: &Facts,
    host: &ServiceView<'_>,
    guests: &BTreeSet<ServiceName>,
    services: &BTreeMap<ServiceName, ServiceDecision>,
) -> ServiceDecision {
    let hosted: Vec<_> = facts
        .services()
        .filter(|service| guests.contains(service.name()))
        .collect();
    let late = hosted.iter().find_map(|guest| {
        let reason = unfit(guest, host, services.get(guest.name())?)?;
        Some((guest.name().clone(), reason))
    });
    let placement = match guests.is_empty() {
        true => Placement::nowhere(),
        false => Placement::apart(),
    };
    let starts = || {
        let mut guests = hosted.iter();
        guests.all(|guest| guest.database.is_none_or(has_running_pod))
    };
    let runs = match host.seen.deployment.as_deref().and_then(running) {
        _ if guests.is_empty() => None,
        Some(runs) if runs.image == host.wanted.image || late.is_none() => Some(wanted(host)),
        Some(runs) => Some(runs),
        // As for any other service, the very first pods start beside the databases.
        None => starts().then(|| wanted(host)),
    };
    let waits = runs.as_ref().map(|runs| &runs.image) != Some(&host.wanted.image);
    ServiceDecision {
        waits_for: late.filter(|_| waits && !guests.is_empty()),
        ..decision(facts, host, Migration::Unneeded, placement, runs)
    }
}

/// Why the new image of the host would not find the database of this service as it expects it. One that is on its way to pods of its
/// own is migrated by its own image, which is as good where that is of the same version.
fn unfit(
    guest: &ServiceView<'_>,
    host: &ServiceView<'_>,
    decided: &ServiceDecision,
) -> Option<Unfit> {
    let version = guest.wanted.version.as_ref();
    let moves = guest.wanted.place == Place::Apart;
    if moves && (version.is_none() || version != host.wanted.version.as_ref()) {
        Some(Unfit::OfAnotherVersion)
    } else if !decided.migration.is_done() {
        Some(Unfit::NotMigrated)
    } else {
        None
    }
}

fn decision(
    facts: &Facts,
    service: &ServiceView<'_>,
    migration: Migration,
    placement: Placement,
    runs: Option<Release>,
) -> ServiceDecision {
    let live = service.seen.deployment.as_ref();
    let live_count = live.and_then(|d| d.spec.as_ref()?.replicas);
    // Whoever leaves the host begins with as many pods as answered before.
    let leaves_with = match (&placement.way, service.wanted.place, service.host) {
        (Way::Moving(_), Place::Apart, Some((_, host))) => {
            let answering = host.deployment.as_ref();
            answering.and_then(|live| live.spec.as_ref()?.replicas)
        }
        (Way::Moving(_) | Way::Settled | Way::GivenUp(..), _, _) => None,
    };
    let (replicas, expected) = match service.wanted.replicas {
        Replicas::Fixed(count) => (Some(count), count),
        // An autoscaler leaves a service with no pods alone: somebody must write the first count.
        Replicas::Autoscaled { min, .. } if live_count == Some(0) => (Some(min), min),
        Replicas::Autoscaled { min, .. } => (None, live_count.unwrap_or(1).max(min)),
        Replicas::Unmanaged => {
            let count = live_count.unwrap_or(1);
            let more = leaves_with.filter(|answering| *answering > count);
            (more, more.unwrap_or(count))
        }
    };
    ServiceDecision {
        migration,
        replicas: replicas.filter(|_| placement.apart),
        disruption_budget: placement.apart && expected > 1,
        placement,
        runs,
        database: server(facts, service),
        waits_for: None,
    }
}

/// The PostgreSQL under the name of this service, where there is one.
fn server(facts: &Facts, service: &ServiceView<'_>) -> Option<DatabaseDecision> {
    let shop = service.shop;
    let held: Vec<_> = shop.databases_at(service.name()).collect();
    let is_prepared =
        |name: &&ServiceName| facts.databases.get(*name) == Some(&DatabaseState::Prepared);
    let names = held.iter().map(|held| &held.name);
    (!held.is_empty()).then(|| DatabaseDecision {
        image: pin(
            &names::database(&shop.name, service.name()),
            "spec.images.postgres",
            &shop.postgres_image,
            &service.seen.database,
        ),
        prepared: names.filter(is_prepared).cloned().collect(),
    })
}

fn wanted(service: &ServiceView<'_>) -> Release {
    Release {
        image: service.wanted.image.clone(),
        version: service.wanted.version.clone(),
    }
}

/// What the Deployment runs: a new image waits for its migration, and with it ([`crate::release::step`]) all that was asked for with it.
fn release(service: &ServiceView<'_>, migration: &Migration) -> Option<Release> {
    let runs = service.seen.deployment.as_deref().and_then(running);
    match (service.wanted.place, runs) {
        // On its way to the host, whose image has migrated the database: its own pods go on as they are, and come back where somebody
        // took them away.
        (Place::Hosted, runs) => Some(runs.unwrap_or_else(|| wanted(service))),
        (Place::Apart, _) if migration.is_done() => Some(wanted(service)),
        (Place::Apart, Some(runs)) if runs.image == service.wanted.image => Some(wanted(service)),
        (Place::Apart, Some(runs)) => Some(runs),
        // Those of the host are replaced: migration first.
        (Place::Apart, None) if service.seen.answers == Some(Place::Hosted) => None,
        // The very first pods have nobody to replace. They start beside the database and its migration, and are not ready
        // before both are done: that saves the seconds that starting them takes.
        (Place::Apart, None) => {
            let starts = service.database.is_some_and(has_running_pod);
            starts.then(|| wanted(service))
        }
    }
}

fn migration_state(facts: &Facts, service: &ServiceView<'_>) -> Migration {
    let Some(database) = service.database else {
        return Migration::Unneeded;
    };
    let seen = service.seen;
    let claim = seen.database.claim.as_deref();
    let Some(job) = &seen.migration else {
        return match &seen.other_migration {
            _ if facts.holds.contains_key(service.name()) && is_migrated(service) => {
                Migration::Kept
            }
            _ if claim.is_none() || !has_running_pod(database) => Migration::Waiting,
            Some(other) => Migration::After(other.clone()),
            None => Migration::Running,
        };
    };
    if job.metadata.deletion_timestamp.is_some() {
        return Migration::Superseded(Renewal::Deleted);
    }
    if claim.is_some_and(|claim| migration::is_of_another_volume(job, claim)) {
        return Migration::Superseded(Renewal::NewVolume);
    }
    if succeeded(job, &seen.migration_pods) {
        return if is_behind(service, job) {
            Migration::Superseded(Renewal::SchemaBehind)
        } else {
            Migration::Done
        };
    }
    let written_for = job.annotations().get(migration::SETTINGS_ANNOTATION);
    let changed = written_for != Some(&migration::settings_of(service.shop, service.wanted));
    let was_away =
        || *database != DatabaseState::Prepared || was_unavailable_since(&seen.database, job);
    // A release that begins anew tries anew.
    let is_of_before = || {
        let made = job.creation_timestamp().map(|made| made.0.as_second());
        let began = facts.release_began.map(|began| began.as_second());
        service.wanted.follows && made.zip(began).is_some_and(|(made, began)| made < began)
    };
    match failure(service.wanted, job) {
        // Somebody changed something, or it gave up waiting for its database: that says nothing about the migration.
        Some(_) if changed || was_away() || is_of_before() => Migration::Superseded(Renewal::Retry),
        Some(how) => Migration::Failed(how),
        // None of its pods has begun: with the new settings they may.
        None if changed && !migration::is_running(job, &seen.migration_pods) => {
            Migration::Superseded(Renewal::Retry)
        }
        None => Migration::Running,
    }
}

/// A migration, of whatever image, was done or is under way in the database that is there, and no pod finds it behind.
fn is_migrated(service: &ServiceView<'_>) -> bool {
    let claim = service.seen.database.claim.as_deref();
    let mut jobs = service.seen.migrations.iter();
    jobs.any(|(job, _)| {
        job.metadata.deletion_timestamp.is_none()
            && !claim.is_some_and(|claim| migration::is_of_another_volume(job, claim))
            && !is_behind(service, job)
    })
}

/// The database is not ready, or is so only since after the Job began. A Job that began beside its database is thereby tried
/// a second time, and the second one counts.
fn was_unavailable_since(database: &ObservedBackend, job: &Job) -> bool {
    let began = job
        .status
        .as_ref()
        .and_then(|status| status.start_time.clone())
        .or_else(|| job.creation_timestamp());
    // Where no pod is seen, its state is all that is known.
    !database.pods.is_empty()
        && !database
            .pods
            .iter()
            .filter_map(|pod| ready_since(pod))
            .any(|ready| began.as_ref().is_none_or(|began| ready <= began))
}

fn ready_since(pod: &Pod) -> Option<&Time> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")?
        .last_transition_time
        .as_ref()
}

/// A pod of the database runs. A migration waits for two minutes until it takes connections, so both may start together.
fn has_running_pod(database: &DatabaseState) -> bool {
    match database {
        DatabaseState::Connecting | DatabaseState::Unreachable { .. } | DatabaseState::Prepared => {
            true
        }
        DatabaseState::Starting | DatabaseState::Refused { .. } => false,
    }
}

/// A pod that ended well is enough: the Job's own status follows one to two seconds later, or never, where a container that
/// somebody added keeps the pod running.
fn succeeded(job: &Job, pods: &[Arc<Pod>]) -> bool {
    let counted = job
        .status
        .as_ref()
        .and_then(|status| status.succeeded)
        .unwrap_or(0)
        > 0;
    let noted = job
        .annotations()
        .contains_key(migration::SUCCEEDED_ANNOTATION);
    counted || noted || pods.iter().any(|pod| migration::has_succeeded(pod))
}

/// A pod of the service has ended because of an older schema, after the migration was done.
fn is_behind(service: &ServiceView<'_>, job: &Job) -> bool {
    let Some(done) = migration::done_at(job) else {
        return false;
    };
    let is_it = |end: &&ContainerStateTerminated| {
        let ended = end.finished_at.as_ref();
        end.exit_code == migration::SCHEMA_BEHIND && ended.is_some_and(|at| at.0 > done)
    };
    let own = service.seen.pods.iter().chain(&service.seen.canary_pods);
    let own = own.filter(|pod| says_of(job, service.name(), service.seen, pod));
    let mut own = own.flat_map(|pod| ends_of(service.name(), pod));
    let host = service.host.into_iter();
    let hosted = host.flat_map(|(host, seen)| {
        let pods = seen.pods.iter();
        let pods = pods.filter(move |pod| says_of(job, &host.name, seen, pod));
        pods.flat_map(|pod| ends_of(&host.name, pod))
    });
    // A process of several services begins its last words with the one that they are about.
    let about = format!("{}: ", service.name());
    let mut hosted = hosted.filter(|end| {
        let words = end.message.as_deref().unwrap_or_default();
        words.lines().any(|line| line.starts_with(&about))
    });
    own.any(|end| is_it(&end)) || hosted.any(|end| is_it(&end))
}

/// Whether what a pod finds says something about a migration. Where somebody may set an image by hand, that of the migration alone does.
/// Elsewhere all do: an admission webhook may have set the image of pods, and not that of the Job.
fn says_of(job: &Job, name: &ServiceName, seen: &ObservedService, pod: &Pod) -> bool {
    let may_be_by_hand = seen.deployment.as_deref().and_then(noted).is_some();
    let migrates = job.spec.as_ref().and_then(|job| job.template.spec.as_ref());
    let migrates = migrates.and_then(|pod| pod.containers.first()?.image.as_deref());
    let both = migrates.zip(image_in(pod, name.as_str()));
    !may_be_by_hand || both.is_none_or(|(migrates, runs)| migrates == runs)
}

/// How the container of this name in a pod has ended, now or the last time.
fn ends_of<'a>(
    service: &'a ServiceName,
    pod: &'a Pod,
) -> impl Iterator<Item = &'a ContainerStateTerminated> {
    let containers = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    containers
        .filter(move |container| container.name == service.as_str())
        .flat_map(|container| [&container.state, &container.last_state])
        .filter_map(|state| state.as_ref()?.terminated.as_ref())
}

fn failure(service: &ValidService, job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions
        .iter()
        .find(|c| c.type_ == "Failed" && c.status == "True")?;
    Some(
        match (failed.reason.as_deref(), failed.message.as_deref()) {
            (Some("BackoffLimitExceeded"), _) => "all its attempts failed".into(),
            (Some("PodFailurePolicy"), _) => "the service refuses its settings".into(),
            (Some("DeadlineExceeded"), _) => took_too_long(service),
            (_, Some(message)) => message.to_owned(),
            (reason, None) => reason.unwrap_or("it failed").to_owned(),
        },
    )
}

fn took_too_long(service: &ValidService) -> String {
    let (name, seconds) = (&service.name, service.migration.deadline_seconds);
    format!(
        "it was not done within {seconds} s, its deadline (spec.services.{name}.migration.deadline), and was ended, its pod and log with it"
    )
}

/// The image in a Deployment's template, of the container that serves.
pub fn image_of(deployment: &Deployment) -> Option<&str> {
    serving(deployment)?.image.as_deref()
}

/// The container that serves. Somebody may have put another one before it, or have taken the label away that names it.
pub(super) fn serving(deployment: &Deployment) -> Option<&Container> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let service = deployment.labels().get(NAME_LABEL);
    let mut containers = pod.containers.iter();
    let named = containers.find(|container| service == Some(&container.name));
    named.or(pod.containers.first())
}
