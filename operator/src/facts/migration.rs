//! What ties a migration Job to what it migrated: the image by its name, the volume and the settings by annotations.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ContainerStateTerminated, PersistentVolumeClaim, Pod},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use serde::Deserialize;

use crate::{
    api::{LogFormat, OverrideKind, SchemaStatus},
    hash::Fingerprint,
    model::validate::{ValidService, ValidShop},
    naming::names::MIGRATION_CONTAINER,
};

/// The uid of the claim whose database the Job migrates.
pub const CLAIM_ANNOTATION: &str = "shopkeeper.dev/claim";
/// A fingerprint of the settings with which the Job was made: when they change, one that failed is tried again.
pub const SETTINGS_ANNOTATION: &str = "shopkeeper.dev/template";
/// When a migration has ended well though its pod runs on, kept alive by a container that somebody added (RFC 3339).
pub const SUCCEEDED_ANNOTATION: &str = "shopkeeper.dev/succeeded";
/// The exit code of a service that refuses its settings: trying again does not help.
pub const WRONG_SETTING: i32 = 2;
/// The exit code of a service whose database has an older schema than it needs.
pub const SCHEMA_BEHIND: i32 = 3;

/// The highest version of a schema, as in a document: a moment in milliseconds is below.
const MOST: i64 = (1 << 53) - 1;
/// A longer name of a migration is cut.
const LONGEST_NAME: usize = 100;

#[derive(Deserialize)]
struct LastWords {
    schema: Said,
}

#[derive(Deserialize)]
struct Said {
    version: i64,
    oldest: i64,
    since: Option<String>,
}

/// The fingerprint of the settings with which a Job would be made now.
pub fn settings_of(shop: &ValidShop, wanted: &ValidService) -> String {
    let settings = Fingerprint::of(&(
        &shop.carrier(wanted).image,
        shop.pull_policy.as_str(),
        &shop.pull_secrets,
        &shop.log_level,
        &wanted.env,
        &wanted.migration.resources,
        wanted.migration.deadline_seconds,
        (
            &wanted.scheduling,
            &wanted.pod_labels,
            &wanted.pod_annotations,
        ),
    ))
    .hex();
    let settings = match wanted.definition.migrate.as_deref() {
        // As it was before an image could be told otherwise.
        None => settings,
        Some([usual]) if usual == "migrate" => settings,
        Some(arguments) => Fingerprint::of(&(settings, arguments)).hex(),
    };
    let settings = match shop.log_format {
        // As it was before there was another one.
        LogFormat::Json => settings,
        LogFormat::Text => Fingerprint::of(&(settings, "text")).hex(),
    };
    match wanted.patch_of(OverrideKind::Job) {
        None => settings,
        Some(patch) => Fingerprint::of(&(settings, patch)).hex(),
    }
}

/// The Job migrated another volume than this one: the claim was replaced since.
pub fn is_of_another_volume(job: &Job, claim: &PersistentVolumeClaim) -> bool {
    match (job.annotations().get(CLAIM_ANNOTATION), claim.uid()) {
        (Some(migrated), Some(uid)) => *migrated != uid,
        // A Job of an operator that did not write it down yet.
        (None, _) => job.creation_timestamp() < claim.creation_timestamp(),
        (Some(_), None) => false,
    }
}

/// The pod's migration has ended well.
pub fn has_succeeded(pod: &Pod) -> bool {
    let ended_well = end_of(pod).is_some_and(|end| end.exit_code == 0);
    phase(pod) == Some("Succeeded") || ended_well
}

/// What a migration that has ended well said of the schema: the last words of its container (docs/service-contract.md,
/// `migrate.says`). Nothing where it said nothing that makes sense.
pub fn said_by(job: &Job, pod: &Pod) -> Option<SchemaStatus> {
    let end = end_of(pod).filter(|end| end.exit_code == 0)?;
    let words: LastWords = serde_json::from_str(end.message.as_deref()?).ok()?;
    let Said {
        version,
        oldest,
        since,
    } = words.schema;
    let containers = &job.spec.as_ref()?.template.spec.as_ref()?.containers;
    let migrates = containers
        .iter()
        .find(|it| it.name == MIGRATION_CONTAINER)?;
    // Whoever is left behind itself does not migrate.
    let makes_sense = (1..=version).contains(&oldest) && version <= MOST;
    let schema = SchemaStatus {
        image: migrates.image.clone()?,
        version,
        oldest,
        since: since.map(|since| since.chars().take(LONGEST_NAME).collect()),
    };
    makes_sense.then_some(schema)
}

/// When the migration of a pod has ended well that another container keeps running. Without one the pod, and its Job, end by
/// themselves a moment later.
pub fn kept_alive_since(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let mut others = containers
        .chain(status.init_container_statuses.iter().flatten())
        .filter(|container| container.name != MIGRATION_CONTAINER);
    let another_runs = others.any(|container| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    });
    let end = end_of(pod).filter(|end| end.exit_code == 0 && another_runs)?;
    Some(end.finished_at.as_ref()?.0)
}

/// A migration goes on: to end its Job is no longer free. A pod that is going, for example on a node that is lost, says nothing.
pub fn is_running(job: &Job, pods: &[Arc<Pod>]) -> bool {
    let conditions = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ends =
        conditions.filter(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed"));
    let has_ended = ends.any(|condition| condition.status == "True");
    !has_ended
        && pods.iter().any(|pod| {
            pod.metadata.deletion_timestamp.is_none()
                && phase(pod) == Some("Running")
                && end_of(pod).is_none()
        })
}

/// When a Job that runs is ended, should it not be done by then; none where it was made with other settings than those of now.
pub fn ended_at(job: &Job, shop: &ValidShop, wanted: &ValidService) -> Option<Timestamp> {
    let is_of_now = job.annotations().get(SETTINGS_ANNOTATION) == Some(&settings_of(shop, wanted));
    let began = job.status.as_ref()?.start_time.as_ref();
    let began = began.filter(|_| is_of_now)?.0;
    let deadline = SignedDuration::from_secs(wanted.migration.deadline_seconds);
    began.checked_add(deadline).ok()
}

/// When a Job's migration was done.
pub fn done_at(job: &Job) -> Option<Timestamp> {
    let noted = job.annotations().get(SUCCEEDED_ANNOTATION);
    let counted = job
        .status
        .as_ref()
        .and_then(|status| status.completion_time.as_ref());
    counted.map(|time| time.0).or_else(|| noted?.parse().ok())
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// How the container that migrates has ended.
fn end_of(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let migrates = containers.find(|container| container.name == MIGRATION_CONTAINER)?;
    migrates.state.as_ref()?.terminated.as_ref()
}
