//! The step between what should be and what is applied: each service's release goes on, what was decided is written down, and then what is
//! in force takes the place of what is wanted.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodTemplateSpec};
use kube::ResourceExt;

use crate::{
    api::{Shop, ShopStatus},
    apply::{
        refusals::{Failure, Refusals},
        revisions,
    },
    cluster::Cluster,
    error::Error,
    facts::{Facts, ServiceView},
    naming::{
        labels::{Part, part_of},
        names::ServiceName,
    },
    objects::{
        resources::{Rendered, Resources},
        revision,
    },
    progress::{
        decide::{Decision, image_of},
        placement::Way,
    },
    release::{
        Effective, RETRY_ANNOTATION, State, Transition, Wanted, advance, cannot_return, seen, stay,
    },
    report,
    run::reconcile::Context,
};

/// Releases after their next step.
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
    let cluster = &context.cluster;
    let remembered = remembered(previous, facts);
    let mut transitions = transitions(shop, &remembered, facts, decision, rendered);
    let (templates, mut failures) = read(facts, &mut transitions, cluster, withheld).await;
    failures.extend(keep(facts, &transitions, rendered, cluster, withheld).await);
    let states: BTreeMap<_, _> = transitions
        .iter()
        .map(|(name, transition)| (name.clone(), transition.next.clone()))
        .collect();
    let statuses = report::releases(&states);
    let version = facts.version.as_deref();
    context
        .statuses
        .remember(shop, version, previous, statuses)
        .await?;
    put_in_force(facts, &transitions, templates, rendered);
    failures.extend(tidy(facts, &states, cluster, withheld).await);
    Ok(Released {
        wake: transitions.values().filter_map(|t| t.wake).min(),
        states,
        failures,
    })
}

/// What the status says, and where that was lost, what the Deployments say of themselves.
fn remembered(previous: Option<&ShopStatus>, facts: &Facts) -> BTreeMap<ServiceName, State> {
    let told = previous.into_iter().flat_map(|status| &status.releases);
    let mut states: BTreeMap<_, _> = told
        .map(|status| (ServiceName::from(status.name.as_str()), State::of(status)))
        .collect();
    for service in facts.services() {
        let state = states.entry(service.name().clone()).or_default();
        if state.good.is_none() {
            let live = service.seen.deployment.as_deref();
            state.good = live.and_then(revision::good_of);
        }
    }
    states
}

/// The next step of each service that has pods of its own. Of one that a host runs nothing is remembered: what it ran with before says
/// nothing about what it will.
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
        if service.wanted.hosts || !decided.placement.apart {
            return None;
        }
        let state = remembered.get(name)?;
        let moves = !matches!(decided.placement.way, Way::Settled);
        let deployment = deployment_of(name, &rendered.deployments).filter(|_| !moves);
        let transition = match deployment {
            Some(deployment) => next(shop, &service, state, deployment, facts)?,
            None => stay(state),
        };
        Some((name.clone(), transition))
    };
    facts.services().filter_map(transition).collect()
}

fn next(
    shop: &Shop,
    service: &ServiceView<'_>,
    state: &State,
    deployment: &Deployment,
    facts: &Facts,
) -> Option<Transition> {
    let image = image_of(deployment).unwrap_or_default();
    let retry = format!("{RETRY_ANNOTATION}/{}", service.name());
    let rollout = &service.shop.rollout;
    let wanted = Wanted {
        revision: revision::of_deployment(deployment)?,
        image: image.to_owned(),
        is_held: image != service.wanted.image,
        retry: shop.annotations().get(&retry).cloned(),
        on_failure: rollout.on_failure,
        gate: rollout.gate,
        deadline: rollout.deadline,
    };
    let warnings = &facts.observed.warnings;
    let seen = seen(service, &wanted.revision, &state.stage, warnings);
    Some(advance(state, &wanted, &seen, facts.now))
}

fn deployment_of<'a>(name: &ServiceName, deployments: &'a [Deployment]) -> Option<&'a Deployment> {
    let part = Part::Service(name.clone());
    deployments.iter().find(|live| part_of(*live) == part)
}

/// What is to come back; none where the Deployment stays as it is.
type Templates = BTreeMap<ServiceName, Option<PodTemplateSpec>>;

/// Reads what is to come back, before it is said that it does. What is not kept any more does not, and goes on where it runs already.
async fn read(
    facts: &Facts,
    transitions: &mut BTreeMap<ServiceName, Transition>,
    cluster: &Cluster,
    withheld: &Refusals,
) -> (Templates, Vec<Failure>) {
    let (mut templates, mut failures) = (Templates::new(), Vec::new());
    for (name, transition) in transitions {
        let Effective::Kept(id) = &transition.effective else {
            continue;
        };
        let seen = facts.observed.services.get(name);
        let live = seen.and_then(|seen| seen.deployment.as_deref());
        let runs = live.and_then(revision::of_deployment).as_ref() == Some(id);
        match revisions::read(&facts.shop, cluster, name, id, withheld).await {
            Ok(Some(template)) => drop(templates.insert(name.clone(), Some(template))),
            Ok(None) if runs => drop(templates.insert(name.clone(), None)),
            Ok(None) => *transition = cannot_return(transition.clone()),
            Err(failure) => {
                templates.insert(name.clone(), None);
                failures.push(failure);
            }
        }
    }
    (templates, failures)
}

/// Keeps what is about to run. Where that is refused it runs all the same: there is only nothing to go back to.
async fn keep(
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
        let is_new = transition.effective == Effective::Wanted;
        is_new.then(|| revisions::keep(shop, cluster, name, seen, deployment, withheld))
    });
    let kept = join_all(keeps).await;
    kept.into_iter().filter_map(Result::err).collect()
}

/// Where a return is in force, what is kept takes the place of what is wanted. Or the Deployment stays as it is.
fn put_in_force(
    facts: &Facts,
    transitions: &BTreeMap<ServiceName, Transition>,
    mut templates: Templates,
    rendered: &mut Resources<Rendered>,
) {
    let contents = facts.contents();
    rendered.deployments.retain_mut(|deployment| {
        let Part::Service(name) = part_of(deployment) else {
            return true;
        };
        if let Some(good) = transitions.get(&name).and_then(|t| t.next.good.as_ref()) {
            revision::note_good(deployment, good);
        }
        match templates.remove(&name) {
            None => true,
            Some(None) => false,
            Some(Some(template)) => {
                revision::put_back(deployment, template, &contents);
                true
            }
        }
    });
}

async fn tidy(
    facts: &Facts,
    states: &BTreeMap<ServiceName, State>,
    cluster: &Cluster,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    for service in facts.services() {
        refused.extend(match states.get(service.name()) {
            Some(state) => revisions::tidy(cluster, service.seen, state, withheld).await,
            None => revisions::forget(cluster, service.seen, withheld).await,
        });
    }
    refused
}
