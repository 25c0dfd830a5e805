//! The canaries of a pass: their Deployments, and Services that lead to them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::PodTemplateSpec},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use crate::{
    facts::{Facts, ServiceView},
    naming::names::{self, ServiceName},
    objects::{
        autoscaler, canary,
        resources::{Rendered, Resources},
        revision, service,
    },
    release::{Effective, Stage, Transition, canary_of, unlabelled},
    run::release::deployment_of,
};

/// So long an autoscaler remembers what it would have had (its default for scaling down).
const LOOKS_BACK: SignedDuration = SignedDuration::from_mins(5);

/// The Deployments of all canaries that go on, made of what is wanted, or of what is kept of one that goes on as it is. Where that cannot
/// be read, its Deployment is left alone. Services lead to their pods.
pub(super) fn render(
    facts: &Facts,
    transitions: &BTreeMap<ServiceName, Transition>,
    kept: &BTreeMap<ServiceName, PodTemplateSpec>,
    rendered: &mut Resources<Rendered>,
) -> Vec<Deployment> {
    let mut deployments = Vec::new();
    for view in facts.services() {
        let Some(transition) = transitions.get(view.name()) else {
            continue;
        };
        deployments.extend(deployment(facts, &view, transition, kept, rendered));
        if leads_to_all(&view, transition)
            && let Some(found) = of_service(&view, &mut rendered.services)
        {
            service::lead_to_all(found, view.name());
        }
        if keeps_its_pods(&view, transition, facts.now)
            && let Some(found) = of_service(&view, &mut rendered.autoscalers)
        {
            autoscaler::only_up(found);
        }
    }
    deployments
}

fn deployment(
    facts: &Facts,
    view: &ServiceView<'_>,
    transition: &Transition,
    kept: &BTreeMap<ServiceName, PodTemplateSpec>,
    rendered: &Resources<Rendered>,
) -> Option<Deployment> {
    let (effective, name) = (transition.canary.as_ref()?, view.name());
    let mut wanted = deployment_of(name, &rendered.deployments)?.clone();
    match (effective, kept.get(name)) {
        (Effective::Kept(_), Some(template)) => {
            revision::put_back(&mut wanted, template.clone(), &facts.contents());
        }
        (Effective::Kept(id), None) if revision::of_deployment(&wanted).as_ref() != Some(id) => {
            return None;
        }
        (Effective::Kept(_) | Effective::Wanted, _) => {}
    }
    let step = canary_of(&transition.next)?.step;
    let step = view.wanted.canary.get(step)?;
    let count = match (replicas(&view.seen.deployment), replicas(&view.seen.canary)) {
        (Some(others), _) => step.pods(others),
        // Somebody took it away: until it is back these serve alone.
        (None, Some(count)) => count,
        (None, None) => step.pods(1),
    };
    Some(canary::canary(view.shop, name, wanted, count))
}

fn replicas(deployment: &Option<Arc<Deployment>>) -> Option<i32> {
    deployment.as_ref()?.spec.as_ref()?.replicas
}

/// Its canary has pods, and no pod that serves would be lost.
fn leads_to_all(view: &ServiceView<'_>, transition: &Transition) -> bool {
    canary_of(&transition.next).is_some()
        && !view.seen.canary_pods.is_empty()
        && unlabelled(view.seen).is_none()
}

/// The canary takes load from the pods that run, so that an autoscaler, which sees those alone, would end some of them; and they are all
/// there is when it goes.
fn keeps_its_pods(view: &ServiceView<'_>, transition: &Transition, now: Timestamp) -> bool {
    let has_steps = !view.wanted.canary.is_empty();
    match &transition.next.stage {
        Stage::Canary(_) => true,
        Stage::Rolling(_) | Stage::Gate(_) => has_steps,
        Stage::TakenBack(failure) => has_steps && now.duration_since(failure.at) < LOOKS_BACK,
        Stage::Idle | Stage::Returning(_) | Stage::Stopped(_) => false,
    }
}

fn of_service<'a, K: ResourceExt>(
    view: &ServiceView<'_>,
    rendered: &'a mut [K],
) -> Option<&'a mut K> {
    let name = names::service(&view.shop.name, view.name());
    rendered.iter_mut().find(|object| object.name_any() == name)
}
