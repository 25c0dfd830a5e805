//! The step between what is there and what is decided: which services may begin what the Shop asks for. Of those that may not, what they
//! run is wanted, so that nothing of it begins, no migration either. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::{
    APPROVE_ANNOTATION, RETRY_ANNOTATION,
    hold::{Hold, Said, hold, is_in_force, waits_until},
    shop::{Member, Members, ShopRelease, ShopStage, Turn, current, go_back, in_force, turn},
    state::{Stage, State, canary_of},
    waves::waves,
};
use crate::{
    api::{Shop, ShopStatus},
    facts::{Facts, ServiceView},
    model::place::Place,
    naming::names::{self, ServiceName},
    objects::revision,
    progress::{decide::Release, runs::running},
};

/// What is remembered, and what follows from it.
pub struct Resolved {
    /// The release of each service.
    pub states: BTreeMap<ServiceName, State>,
    /// The release of the shop.
    pub release: ShopRelease,
    /// The services that follow it.
    pub members: Members,
}

/// Resolves what is wanted of each service. `operator` is a fingerprint of the one that asks.
pub fn resolve(
    shop: &Shop,
    previous: Option<&ShopStatus>,
    facts: &mut Facts,
    operator: &str,
) -> Resolved {
    let mut states = remembered(shop, previous, facts);
    let mut members = members(shop, &states, facts);
    let last = previous.and_then(|status| status.release.as_ref());
    let last = last.map(ShopRelease::of);
    let paused = facts.shop.pause.as_ref();
    let is_paused = paused.is_some_and(|pause| is_in_force(pause, facts.now));
    let (begins, windows) = (facts.shop.rollout.begins, &facts.shop.windows);
    let is_closed = waits_until(begins, windows, facts.now).is_some();
    let release = current(
        last.as_ref(),
        &facts.shop.version,
        &mut members,
        is_paused || is_closed,
        facts.now,
    );
    facts.release_began = match release.stage {
        ShopStage::Rolling | ShopStage::Stopped(_) => release.began,
        ShopStage::Done | ShopStage::Returning(_) | ShopStage::TakenBack(_) => None,
    };
    for (name, member) in &members {
        states.insert(name.clone(), member.state.clone());
    }
    // Another version, which a pause or a closed window keeps from beginning.
    let is_of_another = release.version != facts.shop.version;
    let turn = |name: &ServiceName| match turn(&release, &members, name) {
        Turn::Goes | Turn::Waits(_) | Turn::Held(_) if is_of_another => Turn::Free,
        turn
        @ (Turn::Free | Turn::Goes | Turn::Waits(_) | Turn::Held(_) | Turn::Returns { .. }) => turn,
    };
    let services = facts.services().filter(may_be_held);
    let turns: BTreeMap<_, _> = services
        .map(|service| (service.name().clone(), turn(service.name())))
        .collect();
    go_back_in_turn(&turns, &release, &members, &mut states, facts);
    facts.holds = holds(shop, turns, &states, facts, operator);
    want_what_runs(facts, &states);
    Resolved {
        states,
        release,
        members,
    }
}

/// What the status says, and where that was lost, what the Deployments say of themselves.
fn remembered(
    shop: &Shop,
    previous: Option<&ShopStatus>,
    facts: &Facts,
) -> BTreeMap<ServiceName, State> {
    let seen = previous.and_then(|status| status.observed_generation);
    let is_seen = seen.is_some() && seen == shop.metadata.generation;
    let told = previous.into_iter().flat_map(|status| &status.releases);
    let mut states: BTreeMap<_, _> = told
        .map(|status| (ServiceName::from(status.name.as_str()), State::of(status)))
        .collect();
    for service in facts.services() {
        let state = states.entry(service.name().clone()).or_default();
        if is_seen {
            state.take_over(&service.wanted.asked);
        }
        if state.good.is_none() {
            let live = service.seen.deployment.as_deref();
            state.good = live.and_then(revision::good_of);
        }
        // Its pod goes with a node, and what it said stays true.
        if let Some(schema) = service.seen.schema() {
            state.hear(schema);
        }
    }
    states
}

/// It has pods of its own, and is not on its way to or from a host.
fn may_be_held(service: &ServiceView<'_>) -> bool {
    let wanted = service.wanted;
    let is_settled = service.seen.answers != Some(Place::Hosted);
    !wanted.hosts && wanted.place == Place::Apart && is_settled
}

/// What an annotation says about this service.
pub fn annotation(shop: &Shop, kind: &str, service: &ServiceName) -> Option<String> {
    let key = format!("{kind}/{service}");
    shop.annotations().get(&key).cloned()
}

/// Whom each service calls.
pub fn calls(facts: &Facts) -> BTreeMap<ServiceName, Vec<ServiceName>> {
    let services = facts.shop.services.values();
    let calls = services.map(|service| {
        let calls = service.definition.calls.iter();
        let callees = calls.map(|call| call.service.as_str().into());
        (service.name.clone(), callees.collect())
    });
    calls.collect()
}

/// The services that follow the version of the shop and have run before.
fn members(shop: &Shop, states: &BTreeMap<ServiceName, State>, facts: &Facts) -> Members {
    let waves = waves(&calls(facts), &facts.shop.waves);
    let member = |service: ServiceView<'_>| {
        let name = service.name().clone();
        let state = states.get(&name)?.clone();
        let is_member = service.wanted.follows && state.good.is_some() && may_be_held(&service);
        let live = service.seen.deployment.as_deref();
        let replicas = live.and_then(|live| live.spec.as_ref()?.replicas);
        let member = Member {
            wave: waves.get(&name).copied().unwrap_or_default(),
            asked: service.wanted.asked.clone(),
            retry: annotation(shop, RETRY_ANNOTATION, &name),
            has_pods: replicas != Some(0),
            is_late: matches!(&state.stage, Stage::Returning(failure)
                if facts.now.duration_since(failure.at) > facts.shop.rollout.deadline),
            migration: None,
            state,
        };
        is_member.then_some((name, member))
    };
    facts.services().filter_map(member).collect()
}

fn go_back_in_turn(
    turns: &BTreeMap<ServiceName, Turn>,
    release: &ShopRelease,
    members: &Members,
    states: &mut BTreeMap<ServiceName, State>,
    facts: &Facts,
) {
    for (name, turn) in turns {
        let (Turn::Returns { to, cause }, Some(member)) = (turn, members.get(name)) else {
            continue;
        };
        let service = facts.shop.services.get(name);
        let image = service.map_or("", |service| &service.image);
        let state = go_back(release, member, to.clone(), image, cause.clone(), facts.now);
        states.insert(name.clone(), state);
    }
}

fn holds(
    shop: &Shop,
    mut turns: BTreeMap<ServiceName, Turn>,
    states: &BTreeMap<ServiceName, State>,
    facts: &Facts,
    operator: &str,
) -> BTreeMap<ServiceName, Hold> {
    let hold = |service: ServiceView<'_>| {
        let name = service.name();
        let turn = turns.remove(name)?;
        let state = states.get(name).filter(|state| state.good.is_some())?;
        let said = Said {
            retry: annotation(shop, RETRY_ANNOTATION, name),
            approve: annotation(shop, APPROVE_ANNOTATION, name),
        };
        let (shop, wanted, now) = (&facts.shop, service.wanted, facts.now);
        let hold = hold(shop, wanted, state, turn, &said, operator, now)?;
        Some((name.clone(), hold))
    };
    facts.services().filter_map(hold).collect()
}

/// What is not known to have run is not held.
fn want_what_runs(facts: &mut Facts, states: &BTreeMap<ServiceName, State>) {
    let Facts {
        holds,
        shop,
        observed,
        ..
    } = facts;
    holds.retain(|name, _| {
        let seen = observed.services.get_mut(name);
        let (Some(seen), Some(service)) = (seen, shop.services.get_mut(name)) else {
            return false;
        };
        let state = states.get(name);
        let canary = seen.canary.as_deref();
        let canary = canary.filter(|_| state.is_some_and(|state| canary_of(state).is_some()));
        let live = seen.deployment.as_deref();
        let live = canary.and_then(running).or_else(|| live.and_then(running));
        let Some(runs) = live.or_else(|| state.and_then(ran)) else {
            return false;
        };
        seen.look_at_migration(&names::migration(&shop.name, name, &runs.image));
        service.image = runs.image;
        service.version = runs.version;
        true
    });
}

/// What ran, where somebody has taken its Deployment away.
fn ran(state: &State) -> Option<Release> {
    let id = in_force(state)?.as_str();
    let past = state.history.iter().find(|past| past.revision == id)?;
    Some(Release {
        image: past.image.clone(),
        version: None,
    })
}
