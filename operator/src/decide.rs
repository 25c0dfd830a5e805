//! What is to be done, from what is wanted and what is there. No client and no clock: everything it needs is an argument.

use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use crate::{
    catalogue::{PerService, ServiceName},
    database::DatabaseState,
    observe::{Observed, ObservedBackend, ObservedService},
    render::migration,
    validate::{Replicas, ValidShop},
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// By service; each goes on independently of the others.
    pub services: PerService<ServiceDecision>,
}

/// What is to be done for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDecision {
    /// Where the migration to the image that is to run stands.
    pub migration: Migration,
    /// The Deployment gets the new template. Otherwise it is left as it is, and the pods of the old image go on.
    pub roll: bool,
    /// The count that the Shop names.
    pub replicas: Option<i32>,
    /// More than one pod runs, so that a budget makes sense.
    pub disruption_budget: bool,
}

/// Where a migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// Its database is not there.
    Waiting,
    /// Its Job is to be made, or runs.
    Running,
    /// It succeeded.
    Done,
    /// It failed; the text says how.
    Failed(String),
    /// It failed or hangs, and the Shop has changed since: its Job goes, and comes anew.
    Superseded,
}

impl Migration {
    /// The Job is to be there.
    pub fn has_job(&self) -> bool {
        match self {
            Self::Running | Self::Done | Self::Failed(_) => true,
            Self::Waiting | Self::Superseded => false,
        }
    }
}

/// Decides for every service.
pub fn decide(
    shop: &ValidShop,
    observed: &Observed,
    databases: &PerService<DatabaseState>,
) -> Decision {
    Decision {
        services: PerService::new(|service| {
            decide_service(
                shop,
                service,
                &observed.services[service],
                &databases[service],
            )
        }),
    }
}

fn decide_service(
    shop: &ValidShop,
    service: ServiceName,
    observed: &ObservedService,
    database: &DatabaseState,
) -> ServiceDecision {
    let wanted = &shop.services[service];
    let migration = migration_state(shop, service, observed, database);
    let runs_already =
        observed.deployment.as_deref().and_then(image_of) == Some(wanted.image.as_str());
    let live_count = observed
        .deployment
        .as_ref()
        .and_then(|d| d.spec.as_ref())
        .and_then(|spec| spec.replicas);
    let (replicas, expected) = match wanted.replicas {
        Replicas::Fixed(count) => (Some(count), count),
        Replicas::Autoscaled { min, .. } => (None, live_count.unwrap_or(1).max(min)),
        Replicas::Unmanaged => (None, live_count.unwrap_or(1)),
    };
    // The very first pods have nobody to replace. They start beside the database and its migration, and are not ready
    // before both are done: that saves the seconds that starting them takes.
    let first_install = observed.deployment.is_none() && has_running_pod(database);
    ServiceDecision {
        roll: migration == Migration::Done || runs_already || first_install,
        migration,
        replicas,
        disruption_budget: expected > 1,
    }
}

fn migration_state(
    shop: &ValidShop,
    service: ServiceName,
    observed: &ObservedService,
    database: &DatabaseState,
) -> Migration {
    let Some(job) = &observed.migration else {
        return if has_running_pod(database) {
            Migration::Running
        } else {
            Migration::Waiting
        };
    };
    if succeeded(job, &observed.migration_pods) {
        return Migration::Done;
    }
    let written_for = job.annotations().get(migration::TEMPLATE_ANNOTATION);
    let goes = job.metadata.deletion_timestamp.is_some();
    if goes || written_for != Some(&migration::template_of(shop, service)) {
        return Migration::Superseded;
    }
    match failure(job) {
        // It gave up waiting for its database: that says nothing about the migration.
        Some(_)
            if *database != DatabaseState::Prepared
                || was_unavailable_since(&observed.database, job) =>
        {
            Migration::Superseded
        }
        Some(how) => Migration::Failed(how),
        None => Migration::Running,
    }
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

/// A pod that ended well is enough: the Job's own status follows one to two seconds later.
fn succeeded(job: &Job, pods: &[std::sync::Arc<Pod>]) -> bool {
    let counted = job
        .status
        .as_ref()
        .and_then(|status| status.succeeded)
        .unwrap_or(0)
        > 0;
    counted
        || pods.iter().any(|pod| {
            pod.status
                .as_ref()
                .is_some_and(|s| s.phase.as_deref() == Some("Succeeded"))
        })
}

fn failure(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions
        .iter()
        .find(|c| c.type_ == "Failed" && c.status == "True")?;
    Some(
        match (failed.reason.as_deref(), failed.message.as_deref()) {
            (Some("BackoffLimitExceeded"), _) => "all its attempts failed".into(),
            (Some("PodFailurePolicy"), _) => "the service refuses its settings".into(),
            (_, Some(message)) => message.to_owned(),
            (reason, None) => reason.unwrap_or("it failed").to_owned(),
        },
    )
}

/// The image in a Deployment's template.
pub fn image_of(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.first()?.image.as_deref()
}
