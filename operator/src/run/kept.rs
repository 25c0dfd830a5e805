//! Templates that are kept: read before it is said that they come back, and kept before they run.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::PodTemplateSpec;

use crate::{
    apply::{
        refusals::{Failure, Refusals},
        revisions,
    },
    cluster::Cluster,
    facts::Facts,
    naming::names::ServiceName,
    objects::{
        resources::{Rendered, Resources},
        revision,
    },
    release::{Effective, Stage, Transition, cannot_return},
    run::release::deployment_of,
};

/// What is kept, and takes the place of what is wanted.
#[derive(Default)]
pub(super) struct Templates {
    /// What is to come back; none where the Deployment stays as it is.
    pub(super) own: BTreeMap<ServiceName, Option<PodTemplateSpec>>,
    /// What a canary goes on with.
    pub(super) canaries: BTreeMap<ServiceName, PodTemplateSpec>,
}

/// Reads what is to come back, before it is said that it does. What is not kept any more does not, and goes on where it runs already.
/// What is rendered anyway need not be read.
pub(super) async fn read(
    facts: &Facts,
    rendered: &Resources<Rendered>,
    transitions: &mut BTreeMap<ServiceName, Transition>,
    cluster: &Cluster,
    withheld: &Refusals,
) -> (Templates, Vec<Failure>) {
    let (mut templates, mut failures) = (Templates::default(), Vec::new());
    for (name, transition) in transitions {
        let wanted = deployment_of(name, &rendered.deployments);
        let wanted = wanted.and_then(revision::of_deployment);
        let is_kept = |effective: &Effective| match effective {
            Effective::Kept(id) if wanted.as_ref() != Some(id) => Some(id.clone()),
            Effective::Kept(_) | Effective::Wanted => None,
        };
        let read = async |id| revisions::read(&facts.shop, cluster, name, &id, withheld).await;
        if let Some(id) = transition.canary.as_ref().and_then(is_kept) {
            match read(id).await {
                Ok(kept) => templates
                    .canaries
                    .extend(kept.map(|kept| (name.clone(), kept))),
                Err(failure) => failures.push(failure),
            }
        }
        let Some(id) = is_kept(&transition.effective) else {
            continue;
        };
        let seen = facts.observed.services.get(name);
        let live = seen.and_then(|seen| seen.deployment.as_deref());
        let runs = live.and_then(revision::of_deployment).as_ref() == Some(&id);
        let kept = match read(id).await {
            Ok(None) if !runs && !stays(facts, name, &transition.next.stage) => {
                *transition = cannot_return(transition.clone());
                continue;
            }
            Ok(kept) => kept,
            Err(failure) => {
                failures.push(failure);
                None
            }
        };
        templates.own.insert(name.clone(), kept);
    }
    (templates, failures)
}

/// It is held, and on no way back: then it is left as it is.
fn stays(facts: &Facts, name: &ServiceName, stage: &Stage) -> bool {
    let seen = facts.observed.services.get(name);
    let is_there = seen.is_some_and(|seen| seen.deployment.is_some());
    is_there && facts.holds.contains_key(name) && !matches!(stage, Stage::Returning(_))
}

/// Keeps what is about to run. Where that is refused it runs all the same: there is only nothing to go back to.
pub(super) async fn keep(
    facts: &Facts,
    transitions: &BTreeMap<ServiceName, Transition>,
    rendered: &Resources<Rendered>,
    cluster: &Cluster,
    withheld: &Refusals,
) -> Vec<Failure> {
    let keeps = facts.services().filter_map(|service| {
        let (shop, name, seen) = (service.shop, service.name(), service.seen);
        let transition = transitions.get(name)?;
        let deployment = deployment_of(name, &rendered.deployments)?;
        let runs = |effective: &Effective| match effective {
            Effective::Wanted => true,
            Effective::Kept(id) => revision::of_deployment(deployment).as_ref() == Some(id),
        };
        let is_run = runs(&transition.effective) || transition.canary.iter().any(runs);
        is_run.then(|| revisions::keep(shop, cluster, name, seen, deployment, withheld))
    });
    let kept = join_all(keeps).await;
    kept.into_iter().filter_map(Result::err).collect()
}
