//! Revisions in the cluster: kept before their pods are made, marked when they have proved themselves, read when they come back.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::PodTemplateSpec},
    jiff::Timestamp,
};
use kube::ResourceExt;
use serde_json::json;

use crate::{
    apply::{
        prune::delete,
        refusals::{Failure, Refusals},
    },
    cluster::Cluster,
    error::Error,
    facts::observe::ObservedService,
    model::validate::ValidShop,
    naming::{
        labels::{Part, REVISION_LABEL},
        names::{self, ServiceName},
    },
    objects::revision::{PASSED_ANNOTATION, revision, template_of},
    release::{REMEMBERED, RevisionId, Stage, State},
};

/// Keeps the template that a Deployment is to run, unless that is kept already.
///
/// # Errors
/// What the API server refuses, now or before.
pub async fn keep(
    shop: &ValidShop,
    cluster: &Cluster,
    service: &ServiceName,
    seen: &ObservedService,
    deployment: &Deployment,
    withheld: &Refusals,
) -> Result<(), Failure> {
    let Some(spec) = &deployment.spec else {
        return Ok(());
    };
    let last = seen.revisions.iter().map(|kept| kept.revision).max();
    let object = revision(shop, service, last.unwrap_or(0) + 1, &spec.template);
    let write = format!("ControllerRevision {}", object.name_any());
    let request = async { cluster.revisions.create_once(&object).await.map(drop) };
    withheld
        .attempt(Part::Service(service.clone()), write, request)
        .await
}

/// The template of a revision; none where that is gone, or is not any more what it was.
///
/// # Errors
/// When the API server does not answer.
pub async fn read(
    shop: &ValidShop,
    cluster: &Cluster,
    service: &ServiceName,
    id: &RevisionId,
) -> Result<Option<PodTemplateSpec>, Error> {
    let name = names::revision(&shop.name, service, id.as_str());
    let kept = cluster.revisions.api(&shop.namespace).get_opt(&name).await;
    let kept = kept.map_err(Error::kube(format!(
        "ControllerRevision {name} cannot be read"
    )))?;
    Ok(kept.and_then(|kept| template_of(&kept, id)))
}

/// Notes on the last good revision that it has proved itself: it is known even if the status is lost. Forgets those that are too old.
/// Returns what was refused.
pub async fn tidy(
    cluster: &Cluster,
    service: &ServiceName,
    seen: &ObservedService,
    state: &State,
    now: Timestamp,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    let needed = needed(state);
    let mut kept = seen.revisions.clone();
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.revision));
    for (age, kept) in kept.iter().enumerate() {
        let id = kept.labels().get(REVISION_LABEL).map(String::as_str);
        let is_needed = id.is_some_and(|id| needed.contains(id));
        if age >= REMEMBERED && !is_needed {
            refused.extend(delete(&cluster.revisions, kept, withheld).await.err());
        }
        let is_good = id == state.good.as_ref().map(RevisionId::as_str);
        let is_marked = kept.annotations().contains_key(PASSED_ANNOTATION);
        if is_good && !is_marked {
            let patch = json!({"metadata": {"annotations": {PASSED_ANNOTATION: now.to_string()}}});
            let write = format!("ControllerRevision {} is marked", kept.name_any());
            let request = cluster.revisions.merge(kept, &patch);
            let part = Part::Service(service.clone());
            refused.extend(withheld.attempt(part, write, request).await.err());
        }
    }
    refused
}

fn needed(state: &State) -> BTreeSet<&str> {
    let of_stage = match &state.stage {
        Stage::Idle => None,
        Stage::Rolling(trial) | Stage::Gate(trial) => Some(&trial.revision),
        Stage::Returning(failure) | Stage::TakenBack(failure) | Stage::Stopped(failure) => {
            Some(&failure.revision)
        }
    };
    let ids = of_stage.into_iter().chain(&state.good);
    ids.map(RevisionId::as_str).collect()
}
