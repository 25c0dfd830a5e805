//! The step between what should be and what is applied: each service's release goes on, what was decided is written down, and then what is
//! in force takes the place of what is wanted.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use kube::ResourceExt;

use crate::{
    api::{Shop, ShopStatus},
    apply::{
        refusals::{Failure, Refusals},
        revisions,
    },
    error::Error,
    facts::{Facts, ServiceView},
    naming::{
        labels::{Part, part_of},
        names::ServiceName,
    },
    objects::{
        resources::{Rendered, Resources},
        revision::{self, PASSED_ANNOTATION},
    },
    progress::{
        decide::{Decision, image_of},
        placement::Way,
    },
    release::{Effective, RETRY_ANNOTATION, RevisionId, State, Transition, Wanted, advance, seen},
    report,
    run::reconcile::Context,
};

/// Releases after their next step.
#[derive(Default)]
pub struct Released {
    /// What is remembered of each.
    pub states: BTreeMap<ServiceName, State>,
    /// When to look again at the latest.
    pub wake: Option<Duration>,
    /// What was refused.
    pub failures: Vec<Failure>,
}

/// Goes on with each release, and makes the Deployments what is in force.
///
/// # Errors
/// When what was decided cannot be written down: then nothing of it may be done.
pub async fn release(
    shop: &Shop,
    previous: Option<&ShopStatus>,
    facts: &Facts,
    decision: &Decision,
    rendered: &mut Resources<Rendered>,
    context: &Context,
    withheld: &Refusals,
) -> Result<Released, Error> {
    let remembered = remembered(previous, facts);
    let transitions = transitions(shop, &remembered, facts, decision, rendered);
    let mut released = Released::default();
    released.failures = keep(facts, &transitions, rendered, context, withheld).await;
    released.wake = transitions.values().filter_map(|t| t.wake).min();
    released.states = facts
        .services()
        .filter_map(|service| {
            let name = service.name();
            let next = transitions.get(name).map(|t| &t.next);
            Some((name.clone(), next.or(remembered.get(name))?.clone()))
        })
        .collect();
    context
        .statuses
        .remember(
            shop,
            facts.version.as_deref(),
            previous,
            report::releases(&released.states),
        )
        .await?;
    put_in_force(facts, &transitions, rendered, context).await?;
    for service in facts.services() {
        if let Some(state) = released.states.get(service.name()) {
            let tidied = revisions::tidy(
                &context.cluster,
                service.name(),
                service.seen,
                state,
                facts.now,
                withheld,
            );
            released.failures.extend(tidied.await);
        }
    }
    Ok(released)
}

/// What the status says, and where that was lost, what the kept revisions say of themselves.
fn remembered(previous: Option<&ShopStatus>, facts: &Facts) -> BTreeMap<ServiceName, State> {
    let told = previous.into_iter().flat_map(|status| &status.releases);
    let mut states: BTreeMap<_, _> = told
        .map(|status| (ServiceName::from(status.name.as_str()), State::of(status)))
        .collect();
    for service in facts.services() {
        let state = states.entry(service.name().clone()).or_default();
        if state.good.is_none() {
            state.good = last_good(&service);
        }
    }
    states
}

fn last_good(service: &ServiceView<'_>) -> Option<RevisionId> {
    let kept = service.seen.revisions.iter();
    let passed = kept.filter_map(|kept| {
        let at: Timestamp = kept.annotations().get(PASSED_ANNOTATION)?.parse().ok()?;
        Some((at, kept))
    });
    let (_, last) = passed.max_by_key(|(at, _)| *at)?;
    crate::release::id_of(last)
}

/// The next step of each service that has pods of its own and is on no way to or from a host.
fn transitions(
    shop: &Shop,
    remembered: &BTreeMap<ServiceName, State>,
    facts: &Facts,
    decision: &Decision,
    rendered: &Resources<Rendered>,
) -> BTreeMap<ServiceName, Transition> {
    let transition = |service: ServiceView<'_>| {
        let name = service.name();
        let decided = decision.services.get(name)?;
        let goes_nowhere = matches!(decided.placement.way, Way::Settled);
        if service.wanted.hosts || !decided.placement.apart || !goes_nowhere {
            return None;
        }
        let deployment = deployment_of(name, &rendered.deployments)?;
        let revision = revision::of_deployment(deployment)?;
        let retry = format!("{RETRY_ANNOTATION}/{name}");
        let wanted = Wanted {
            image: image_of(deployment).unwrap_or_default().to_owned(),
            generation: facts.generation.unwrap_or_default(),
            retry: shop.annotations().get(&retry).cloned(),
            on_failure: facts.shop.rollout.on_failure,
            gate: facts.shop.rollout.gate,
            deadline: facts.shop.rollout.deadline,
            revision,
        };
        let warnings = &facts.observed.warnings;
        let seen = seen(&service, &wanted.revision, warnings, facts.now);
        let state = remembered.get(name)?;
        Some((name.clone(), advance(state, &wanted, &seen, facts.now)))
    };
    facts.services().filter_map(transition).collect()
}

fn deployment_of<'a>(name: &ServiceName, deployments: &'a [Deployment]) -> Option<&'a Deployment> {
    let part = Part::Service(name.clone());
    deployments.iter().find(|live| part_of(*live) == part)
}

/// Keeps what is about to run. Where that is refused it runs all the same: there is only nothing to go back to.
async fn keep(
    facts: &Facts,
    transitions: &BTreeMap<ServiceName, Transition>,
    rendered: &Resources<Rendered>,
    context: &Context,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    let keeps = facts.services().filter_map(|service| {
        let transition = transitions.get(service.name())?;
        let deployment = deployment_of(service.name(), &rendered.deployments)?;
        (transition.effective == Effective::Wanted).then_some((service, deployment))
    });
    let keeps = keeps.map(|(service, deployment)| {
        let (name, seen) = (service.name(), service.seen);
        revisions::keep(
            service.shop,
            &context.cluster,
            name,
            seen,
            deployment,
            withheld,
        )
    });
    for kept in futures::future::join_all(keeps).await {
        refused.extend(kept.err());
    }
    refused
}

/// Where a return is in force, what is kept takes the place of what is wanted. Where that is gone, the Deployment stays as it is.
async fn put_in_force(
    facts: &Facts,
    transitions: &BTreeMap<ServiceName, Transition>,
    rendered: &mut Resources<Rendered>,
    context: &Context,
) -> Result<(), Error> {
    for (name, transition) in transitions {
        let Effective::Kept(id) = &transition.effective else {
            continue;
        };
        let template = revisions::read(&facts.shop, &context.cluster, name, id).await?;
        let part = Part::Service(name.clone());
        match template {
            Some(template) => {
                let mut deployments = rendered.deployments.iter_mut();
                if let Some(deployment) = deployments.find(|live| part_of(*live) == part) {
                    revision::put_back(deployment, template);
                }
            }
            None => rendered.deployments.retain(|live| part_of(live) != part),
        }
    }
    Ok(())
}
