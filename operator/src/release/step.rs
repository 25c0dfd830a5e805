//! The next step of a service, whether it may begin what the Shop asks for or keeps what it runs. Pure.

use k8s_openapi::jiff::Timestamp;

use super::{
    advance::{Effective, Seen, Transition, Wanted, advance, effective},
    hold::{Hold, approval},
    shop::in_force,
    state::{RevisionId, Stage, State, canary_of},
};
use crate::api::{HeldStatus, HoldReason};

/// What is noted of a service that begins what the Shop asks for.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// A fingerprint of what it is asked for.
    pub asked: &'a str,
    /// A fingerprint of the operator that makes a template of it.
    pub operator: &'a str,
}

/// The next step. `seen` looks at the pods of a revision.
pub fn step(
    state: &State,
    wanted: &Wanted,
    hold: Option<&Hold>,
    asker: Asker<'_>,
    seen: impl Fn(&RevisionId) -> Seen,
    now: Timestamp,
) -> Transition {
    let advance = |wanted: &Wanted| advance(state, wanted, &seen(&wanted.revision), now);
    let kept = kept(state, wanted);
    let held = hold.zip(kept.as_ref());
    let held =
        held.filter(|(hold, kept)| hold.image != wanted.image || kept.revision != wanted.revision);
    match (held, kept.as_ref()) {
        (Some((hold, kept)), _) => held_back(advance(kept), hold, asker),
        // Image and settings of one edit belong together: both wait for the migration.
        (None, Some(kept)) if wanted.is_held => begun(going_on(advance(kept)), wanted, asker),
        (None, Some(_) | None) => begun(advance(wanted), wanted, asker),
    }
}

/// What is wanted of a service that keeps what it runs: that. None where nothing is known to have run.
fn kept(state: &State, wanted: &Wanted) -> Option<Wanted> {
    let retry = match &state.stage {
        // Not before the hold ends.
        Stage::TakenBack(failure) => failure.retry.clone(),
        Stage::Idle
        | Stage::Canary(_)
        | Stage::Rolling(_)
        | Stage::Gate(_)
        | Stage::Returning(_)
        | Stage::Stopped(_) => wanted.retry.clone(),
    };
    Some(Wanted {
        revision: in_force(state)?.clone(),
        is_held: true,
        retry,
        ..wanted.clone()
    })
}

/// What runs goes on, untouched.
fn going_on(transition: Transition) -> Transition {
    let next = transition.next;
    let kept = in_force(&next).map_or(Effective::Wanted, |kept| Effective::Kept(kept.clone()));
    let (effective, canary) = match canary_of(&next) {
        Some(_) => (effective(&next), Some(kept)),
        None => (kept, None),
    };
    Transition {
        effective,
        canary,
        wake: transition.wake,
        cannot_return: false,
        next,
    }
}

fn held_back(transition: Transition, hold: &Hold, asker: Asker<'_>) -> Transition {
    let mut transition = going_on(transition);
    let held = hold.to_status(&[]);
    let is_update = held.reason == HoldReason::OperatorUpdate;
    transition.next.held = Some(HeldStatus {
        approval: is_update
            .then(|| approval(asker.operator, &transition.next))
            .flatten(),
        ..held
    });
    transition.next.begun = None;
    transition.next.begun_by = None;
    transition
}

/// Notes what was asked for, and of whom; of what waits for its migration only that it has begun.
fn begun(mut transition: Transition, wanted: &Wanted, asker: Asker<'_>) -> Transition {
    let next = &mut transition.next;
    if wanted.is_held {
        next.begun = Some(asker.asked.to_owned());
        next.begun_by = Some(asker.operator.to_owned());
    } else {
        next.asked = Some(asker.asked.to_owned());
        next.made_by = Some(asker.operator.to_owned());
        next.begun = None;
        next.begun_by = None;
    }
    next.held = None;
    transition
}
