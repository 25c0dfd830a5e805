//! The step between what should be and what is applied: each service's release goes on, what was decided is written down, and then what is
//! in force takes the place of what is wanted.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodTemplateSpec};

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
        decide::{Decision, Migration, image_of},
        placement::Way,
    },
    release::{
        ABORT_ANNOTATION, Asker, PROMOTE_ANNOTATION, RETRY_ANNOTATION, Resolved, RevisionId, Seen,
        ShopRelease, ShopStage, Stage, State, Transition, Wanted, WantedCanary, Why, annotation,
        canary_of, difference, no_canary, proceed, seen, stay, step,
    },
    report::{self, statuses::Remembered},
    run::{
        answers::{self, Answered},
        canaries,
        kept::{self, Templates},
        reconcile::Context,
    },
};

/// Another pass follows at once, where one service may begin because another has come further.
const NEXT_WAVE: Duration = Duration::from_millis(100);

/// Releases after their next step.
pub struct Released {
    /// The release of the shop.
    pub of_shop: ShopRelease,
    /// What is remembered of each service.
    pub states: BTreeMap<ServiceName, State>,
    /// When to look again at the latest.
    pub wake: Option<Duration>,
    /// What was refused.
    pub failures: Vec<Failure>,
}

/// What a pass knows when it comes to releases.
pub struct Known<'a> {
    /// The Shop as written.
    pub shop: &'a Shop,
    /// Its status before.
    pub previous: Option<&'a ShopStatus>,
    /// All that is there and wanted.
    pub facts: &'a Facts,
    /// What is to be done.
    pub decision: &'a Decision,
}

/// Goes on with each release, and makes the Deployments what is in force.
///
/// # Errors
/// When what was decided cannot be written down: then nothing of it may be done.
pub async fn release(
    known: &Known<'_>,
    mut resolved: Resolved,
    rendered: &mut Resources<Rendered>,
    context: &Context,
    withheld: &Refusals,
) -> Result<Released, Error> {
    let Known {
        shop,
        previous,
        facts,
        decision,
    } = *known;
    let cluster = &context.cluster;
    let operator = &context.identity;
    let states = &resolved.states;
    // On the heap: a pass is a large future already.
    let answered = answers::ask(facts, states, &rendered.deployments, &context.http);
    let answered = Box::pin(answered).await;
    let mut transitions = transitions(known, states, &answered, rendered, operator);
    let (templates, mut failures) =
        kept::read(facts, rendered, &mut transitions, cluster, withheld).await;
    forget_lost(&mut resolved.release, &transitions);
    failures.extend(kept::keep(facts, &transitions, rendered, cluster, withheld).await);
    tell_holds(facts, &mut transitions, &templates, rendered);
    let wakes = transitions
        .values()
        .filter_map(|transition| transition.wake);
    let wake = wakes.min();
    let states: BTreeMap<_, _> = transitions
        .iter()
        .map(|(name, transition)| (name.clone(), transition.next.clone()))
        .collect();
    let goes_on = goes_on(&resolved, &states);
    let of_shop = of_shop(facts, resolved, &states, decision);
    let remembered = Remembered {
        release: of_shop.to_status(),
        releases: report::releases(&states),
    };
    let version = facts.version.as_deref();
    let statuses = &context.statuses;
    statuses
        .remember(shop, version, previous, remembered)
        .await?;
    let canaries = canaries::render(facts, &transitions, &templates.canaries, rendered);
    put_in_force(facts, &transitions, templates.own, rendered);
    rendered.deployments.extend(canaries);
    failures.extend(tidy(facts, &of_shop, &states, cluster, withheld).await);
    let at_once = goes_on.then_some(NEXT_WAVE);
    Ok(Released {
        wake: wake
            .into_iter()
            .chain(at_once)
            .chain(end_of_pause(facts))
            .min(),
        of_shop,
        states,
        failures,
    })
}

/// The release of the shop after this pass.
fn of_shop(
    facts: &Facts,
    resolved: Resolved,
    states: &BTreeMap<ServiceName, State>,
    decision: &Decision,
) -> ShopRelease {
    let mut members = resolved.members;
    for (name, member) in &mut members {
        if let Some(state) = states.get(name) {
            member.state = state.clone();
        }
        let decided = decision
            .services
            .get(name)
            .map(|decided| &decided.migration);
        member.migration = match decided {
            Some(Migration::Failed(how)) if !facts.holds.contains_key(name) => {
                Some(format!("its migration failed: {how}"))
            }
            _ => None,
        };
    }
    proceed(resolved.release, &members, facts.shop.rollout.on_failure)
}

/// What is not kept any more nobody can go back to.
fn forget_lost(release: &mut ShopRelease, transitions: &BTreeMap<ServiceName, Transition>) {
    let is_lost = |name: &ServiceName| {
        let transition = transitions.get(name);
        transition.is_some_and(|transition| transition.cannot_return)
    };
    release.before.retain(|name, _| !is_lost(name));
}

/// A service has come further, and others may wait for it; no watch tells of what the status says.
fn goes_on(resolved: &Resolved, states: &BTreeMap<ServiceName, State>) -> bool {
    let waits = match &resolved.release.stage {
        ShopStage::Rolling | ShopStage::Returning(_) | ShopStage::Stopped(_) => true,
        ShopStage::Done | ShopStage::TakenBack(_) => false,
    };
    // Why it is held is found out anew each time.
    let is_other = |(name, state): (&ServiceName, &State)| {
        let is = State {
            held: None,
            ..state.clone()
        };
        resolved.states.get(name).is_some_and(|was| *was != is)
    };
    waits && states.iter().any(is_other)
}

/// When the first pause that holds something ends by itself, or a window opens for what waits for one.
fn end_of_pause(facts: &Facts) -> Option<Duration> {
    let ends = facts.holds.values().filter_map(|hold| match &hold.why {
        Why::Paused { until, .. } => *until,
        Why::Window { opens } => Some(*opens),
        Why::OperatorUpdate { opens } => *opens,
        Why::Wave(_) | Why::TakenBack(_) => None,
    });
    let left = ends.min()?.duration_since(facts.now);
    Some(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(100))
}

/// The next step of each service that has pods of its own. Of one that a host runs nothing is remembered: what it ran with before says
/// nothing about what it will.
fn transitions(
    known: &Known<'_>,
    remembered: &BTreeMap<ServiceName, State>,
    answered: &BTreeMap<ServiceName, Answered>,
    rendered: &Resources<Rendered>,
    operator: &str,
) -> BTreeMap<ServiceName, Transition> {
    let transition = |service: ServiceView<'_>| {
        let name = service.name();
        let decided = known.decision.services.get(name)?;
        if service.wanted.hosts || !decided.placement.apart {
            return None;
        }
        let state = remembered.get(name)?;
        let moves = !matches!(decided.placement.way, Way::Settled);
        let deployment = deployment_of(name, &rendered.deployments).filter(|_| !moves);
        let transition = match deployment {
            Some(deployment) => {
                let is_migrated = decided.migration.is_done();
                let answered = answered.get(name);
                next(
                    known,
                    &service,
                    state,
                    deployment,
                    is_migrated,
                    answered,
                    operator,
                )?
            }
            None => stay(state),
        };
        Some((name.clone(), transition))
    };
    known.facts.services().filter_map(transition).collect()
}

fn next(
    known: &Known<'_>,
    service: &ServiceView<'_>,
    state: &State,
    deployment: &Deployment,
    is_migrated: bool,
    answered: Option<&Answered>,
    operator: &str,
) -> Option<Transition> {
    let facts = known.facts;
    // Rendered is what the Shop asks for, as for a service that is new.
    let was_deleted = service.seen.deployment.is_none() && state.good.is_some();
    let image = image_of(deployment).unwrap_or_default();
    let is_held = image != service.wanted.image || (was_deleted && !is_migrated);
    // What waits for its migration leaves a canary alone.
    let canary = service.seen.canary.as_deref();
    let canary = canary.filter(|_| is_held && canary_of(state).is_some());
    let rollout = &service.shop.rollout;
    let says = |kind| annotation(known.shop, kind, service.name());
    let wanted = Wanted {
        revision: revision::of_deployment(deployment)?,
        image: canary.and_then(image_of).unwrap_or(image).to_owned(),
        is_held,
        retry: says(RETRY_ANNOTATION),
        canary: WantedCanary {
            steps: service.wanted.canary.clone(),
            promote: says(PROMOTE_ANNOTATION),
            abort: says(ABORT_ANNOTATION),
        },
        on_failure: rollout.on_failure,
        judged_by: rollout.judged_by,
        gate: rollout.gate,
        deadline: rollout.deadline,
    };
    let warnings = &facts.observed.warnings;
    let asker = Asker {
        asked: &service.wanted.asked,
        operator,
    };
    let hold = facts.holds.get(service.name());
    let look = |revision: &RevisionId| {
        let seen = Seen {
            no_canary: no_canary(service.seen, state.good.as_ref()),
            ..seen(service, revision, &state.stage, warnings)
        };
        match answered {
            Some(answered) => answered.add_to(seen, revision),
            None => seen,
        }
    };
    Some(step(state, &wanted, hold, asker, look, facts.now))
}

/// Says of what the operator alone would change how it differs from what runs.
fn tell_holds(
    facts: &Facts,
    transitions: &mut BTreeMap<ServiceName, Transition>,
    templates: &Templates,
    rendered: &Resources<Rendered>,
) {
    for (name, transition) in transitions {
        let hold = facts
            .holds
            .get(name)
            .filter(|_| transition.next.held.is_some());
        let wanted = deployment_of(name, &rendered.deployments);
        let wanted = wanted.and_then(|wanted| Some(&wanted.spec.as_ref()?.template));
        // What was not read is what is rendered.
        let canary = templates.canaries.get(name).map(Some);
        let own = templates.own.get(name).map(Option::as_ref);
        let kept = canary.or(own).unwrap_or(wanted);
        let (Some(hold), Some(kept), Some(wanted)) = (hold, kept, wanted) else {
            continue;
        };
        let (kept, wanted) = (revision::without_stamp(kept.clone()), wanted.clone());
        let mut difference = difference(&kept, &revision::without_stamp(wanted));
        let runs = facts.shop.services.get(name).map(|service| &service.image);
        // What failed is no part of what the operator alone changes.
        let has_failed = matches!(
            transition.next.stage,
            Stage::TakenBack(_) | Stage::Returning(_)
        );
        if runs != Some(&hold.image) && !has_failed {
            difference.insert(0, format!("image {}", hold.image));
        }
        if let Some(held) = &mut transition.next.held {
            held.message = hold.to_status(&difference).message;
        }
    }
}

pub(super) fn deployment_of<'a>(
    name: &ServiceName,
    deployments: &'a [Deployment],
) -> Option<&'a Deployment> {
    let part = Part::Service(name.clone());
    deployments.iter().find(|live| part_of(*live) == part)
}

/// Where a return is in force, what is kept takes the place of what is wanted. Or the Deployment stays as it is.
fn put_in_force(
    facts: &Facts,
    transitions: &BTreeMap<ServiceName, Transition>,
    mut templates: BTreeMap<ServiceName, Option<PodTemplateSpec>>,
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
    of_shop: &ShopRelease,
    states: &BTreeMap<ServiceName, State>,
    cluster: &Cluster,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    for service in facts.services() {
        refused.extend(match states.get(service.name()) {
            Some(state) => {
                let before = of_shop.before.get(service.name());
                revisions::tidy(cluster, service.seen, state, before, withheld).await
            }
            None => revisions::forget(cluster, service.seen, withheld).await,
        });
    }
    refused
}
