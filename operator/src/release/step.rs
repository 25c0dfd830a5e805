//! The next step of a service, whether it may begin what the Shop asks for or keeps what it runs. Pure.

use k8s_openapi::jiff::Timestamp;

use super::{
    advance::{Effective, Seen, Transition, Wanted, advance},
    hold::Hold,
    shop::in_force,
    state::{RevisionId, Stage, State},
};

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
    let held = hold.and_then(|hold| Some((hold, frozen(state, wanted, hold)?)));
    match held {
        Some((hold, frozen)) => held_back(advance(&frozen), hold),
        None => begun(advance(wanted), wanted, asker),
    }
}

/// What is wanted of a service that keeps what it runs: that. None where it runs what the Shop asks for already.
fn frozen(state: &State, wanted: &Wanted, hold: &Hold) -> Option<Wanted> {
    let revision = in_force(state)?.clone();
    let is_other = hold.image != wanted.image || revision != wanted.revision;
    let retry = match &state.stage {
        // Not before the hold ends.
        Stage::TakenBack(failure) => failure.retry.clone(),
        Stage::Idle
        | Stage::Rolling(_)
        | Stage::Gate(_)
        | Stage::Returning(_)
        | Stage::Stopped(_) => wanted.retry.clone(),
    };
    is_other.then(|| Wanted {
        revision,
        is_held: true,
        retry,
        ..wanted.clone()
    })
}

fn held_back(transition: Transition, hold: &Hold) -> Transition {
    let mut next = transition.next;
    next.held = Some(hold.to_status(&[]));
    next.begun = None;
    Transition {
        effective: in_force(&next).map_or(Effective::Wanted, |kept| Effective::Kept(kept.clone())),
        wake: transition.wake,
        cannot_return: false,
        next,
    }
}

/// Notes what was asked for, and of whom; of what waits for its migration only that it has begun.
fn begun(mut transition: Transition, wanted: &Wanted, asker: Asker<'_>) -> Transition {
    let next = &mut transition.next;
    if wanted.is_held {
        next.begun = Some(asker.asked.to_owned());
    } else {
        next.asked = Some(asker.asked.to_owned());
        next.made_by = Some(asker.operator.to_owned());
        next.begun = None;
    }
    next.held = None;
    transition
}
