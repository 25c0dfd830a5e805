//! Revisions in the cluster: kept before their pods are made, read when they come back.

use std::{cmp::Reverse, collections::BTreeSet};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodTemplateSpec};
use kube::ResourceExt;

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
    objects::revision::{revision, template_of},
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
    let id = deployment.annotations().get(REVISION_LABEL);
    let mut kept = seen.revisions.iter();
    // The API server compares what a revision holds byte by byte, and writes `<` otherwise than we do: none is ever changed.
    if kept.any(|kept| kept.labels().get(REVISION_LABEL) == id) {
        return Ok(());
    }
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
/// What the API server refuses, now or before.
pub async fn read(
    shop: &ValidShop,
    cluster: &Cluster,
    service: &ServiceName,
    id: &RevisionId,
    withheld: &Refusals,
) -> Result<Option<PodTemplateSpec>, Failure> {
    let name = names::revision(&shop.name, service, id.as_str());
    let revisions = cluster.revisions.api(&shop.namespace);
    let request = async {
        let kept = revisions.get_opt(&name).await;
        kept.map_err(Error::kube(format!(
            "ControllerRevision {name} cannot be read"
        )))
    };
    let write = format!("ControllerRevision {name} is read");
    let part = Part::Service(service.clone());
    let kept = withheld.attempt(part, write, request).await?;
    Ok(kept.and_then(|kept| template_of(&kept, id)))
}

/// Forgets those that are too old, and that nobody may go back to: `before` is what ran when the release of the shop began. Returns what was refused.
pub async fn tidy(
    cluster: &Cluster,
    seen: &ObservedService,
    state: &State,
    before: Option<&RevisionId>,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    let mut needed = needed(state);
    needed.extend(before.map(RevisionId::as_str));
    let mut kept = seen.revisions.clone();
    kept.sort_by_key(|kept| Reverse(kept.revision));
    for old in kept.iter().skip(REMEMBERED) {
        let id = old.labels().get(REVISION_LABEL);
        if !id.is_some_and(|id| needed.contains(id.as_str())) {
            refused.extend(delete(&cluster.revisions, old, withheld).await.err());
        }
    }
    refused
}

/// Forgets all of a service that a host runs: what it ran with before says nothing about what it will.
pub async fn forget(
    cluster: &Cluster,
    seen: &ObservedService,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    for kept in &seen.revisions {
        refused.extend(delete(&cluster.revisions, kept, withheld).await.err());
    }
    refused
}

fn needed(state: &State) -> BTreeSet<&str> {
    let of_stage = match &state.stage {
        Stage::Idle => None,
        Stage::Canary(canary) => Some(&canary.trial.revision),
        Stage::Rolling(trial) | Stage::Gate(trial) => Some(&trial.revision),
        Stage::Returning(failure) | Stage::TakenBack(failure) | Stage::Stopped(failure) => {
            Some(&failure.revision)
        }
    };
    let ids = of_stage.into_iter().chain(&state.good);
    ids.map(RevisionId::as_str).collect()
}
