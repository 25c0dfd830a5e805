//! What ties a migration Job to what it migrated: the image by its name, the volume and the settings by annotations.

use std::sync::Arc;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::ResourceExt;

use crate::{catalogue::ServiceName, hash::Fingerprint, validate::ValidShop};

/// The uid of the claim whose database the Job migrates.
pub const CLAIM_ANNOTATION: &str = "shopkeeper.dev/claim";
/// A fingerprint of the settings with which the Job was made: when they change, one that failed is tried again.
pub const SETTINGS_ANNOTATION: &str = "shopkeeper.dev/template";
/// `succeeded` on a Job whose migration has ended well though its pod runs on, kept alive by a container that somebody added.
pub const RESULT_ANNOTATION: &str = "shopkeeper.dev/result";
/// The container that migrates.
pub const CONTAINER: &str = "migrate";
/// The exit code of a service that refuses its settings: trying again does not help.
pub const WRONG_SETTING: i32 = 2;
/// The exit code of a service whose database has an older schema than it needs.
pub const SCHEMA_BEHIND: i32 = 3;

/// The fingerprint of the settings with which a Job would be made now.
pub fn settings_of(shop: &ValidShop, service: ServiceName) -> String {
    let wanted = &shop.services[service];
    Fingerprint::of(&(
        &wanted.image,
        shop.pull_policy.as_str(),
        &shop.pull_secrets,
        &shop.log_level,
        &wanted.env,
    ))
    .hex()
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
    let Some(status) = &pod.status else {
        return false;
    };
    let mut ends = status
        .container_statuses
        .iter()
        .flatten()
        .filter(|container| container.name == CONTAINER)
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref());
    status.phase.as_deref() == Some("Succeeded") || ends.any(|end| end.exit_code == 0)
}

/// A migration's container runs or has run: to end it is no longer free.
pub fn has_begun(pods: &[Arc<Pod>]) -> bool {
    pods.iter().any(|pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Running")
    })
}
