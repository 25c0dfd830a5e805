//! The next step of a release. No client and no clock: everything it needs is an argument.
//!
//! It looks at what is there and not at what happened, so that the same facts lead to the same end, whatever was missed: an operator
//! that was away, a status that was lost, a spec that changed twice meanwhile.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    canary::{self, WantedCanary},
    compare,
    state::{Failure, RevisionId, Stage, State, Trial, canary_of, past},
};
use crate::{
    api::{AnsweredBefore, JudgedBy, OnFailure, PastRelease, ReleaseResult},
    facts::answers::Answers,
};

/// While new pods come, or are judged by what they answer, they are looked at that often.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What the Shop asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The revision that what is wanted makes.
    pub revision: RevisionId,
    /// Its image, for the history.
    pub image: String,
    /// It is only what may run until a migration is done: what the Shop asks for is another.
    pub is_held: bool,
    /// What the annotation for another try says.
    pub retry: Option<String>,
    /// With how many of its pods it begins.
    pub canary: WantedCanary,
    /// What becomes of a release that fails.
    pub on_failure: OnFailure,
    /// What new pods are judged by.
    pub judged_by: JudgedBy,
    /// How long all pods must go on well.
    pub gate: SignedDuration,
    /// How long the gate may take beyond that.
    pub deadline: SignedDuration,
}

/// What is there; while there is a canary, of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The revision in the Deployment.
    pub live: Option<RevisionId>,
    /// All its pods are of that revision, and as many as should be are available.
    pub complete: bool,
    /// There are pods to judge: nobody has scaled the service to none.
    pub has_pods: bool,
    /// Why the pods of the revision that is wanted will not do.
    pub trouble: Option<String>,
    /// When a container of them has last ended badly, and how.
    pub last_end: Option<(Timestamp, String)>,
    /// What the pods of the last good revision have answered; nothing where none of them says it.
    pub before: Vec<AnsweredBefore>,
    /// What its own pods have answered; none where none of them says it.
    pub answers: Option<Answers>,
    /// Why no canary can be beside the pods that run.
    pub no_canary: Option<String>,
    /// Its database is away, so that nothing is to be learned from pods that are not ready.
    pub is_excused: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What is to be remembered.
    pub next: State,
    /// What the Deployment is to run.
    pub effective: Effective,
    /// What that of the canary is to run; none where there is to be none.
    pub canary: Option<Effective>,
    /// When to look again at the latest, where time alone leads on.
    pub wake: Option<Duration>,
    /// What was to come back is not kept any more.
    pub cannot_return: bool,
}

/// What a Deployment is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effective {
    /// What the Shop asks for.
    Wanted,
    /// A revision that is kept.
    Kept(RevisionId),
}

/// The next step.
pub fn advance(state: &State, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Transition {
    let mut next = state.clone();
    next.stage = match &state.stage {
        Stage::Idle if state.good.as_ref() == Some(&wanted.revision) => Stage::Idle,
        Stage::Idle => begin(state, wanted, seen, now),
        Stage::Canary(canary) if canary.trial.revision != wanted.revision => {
            turned_away(state, wanted, seen, now)
        }
        Stage::Canary(canary) => canary::advance(&mut next, canary, wanted, seen, now),
        Stage::Rolling(trial) | Stage::Gate(trial) if trial.revision != wanted.revision => {
            turned_away(state, wanted, seen, now)
        }
        Stage::Rolling(trial) => rolling(&mut next, trial, wanted, seen, now),
        Stage::Gate(trial) => gate(&mut next, trial, wanted, seen, now),
        Stage::Returning(failure) | Stage::TakenBack(failure) | Stage::Stopped(failure)
            if wants_something_else(failure, wanted) =>
        {
            turned_away(state, wanted, seen, now)
        }
        Stage::TakenBack(failure) if wanted.retry.is_some() && wanted.retry != failure.retry => {
            begin(state, wanted, seen, now)
        }
        Stage::Returning(failure) if is_back(seen, state.good.as_ref()) => {
            Stage::TakenBack(failure.clone())
        }
        // Somebody mended what it lacked.
        Stage::Stopped(failure)
            if is_whole(seen, Some(&failure.revision))
                && !is_silent(&failure.before, wanted, seen)
                && answers_worse(&failure.before, seen).is_none() =>
        {
            Stage::Gate(Trial {
                revision: failure.revision.clone(),
                since: now,
                began: failure.at,
                last_end: seen.last_end.as_ref().map(|(at, _)| *at),
                before: failure.before.clone(),
                without_canary: None,
            })
        }
        same @ (Stage::Returning(_) | Stage::TakenBack(_) | Stage::Stopped(_)) => same.clone(),
    };
    Transition {
        effective: effective(&next),
        canary: canary_of(&next).map(|_| Effective::Wanted),
        wake: wake(&next.stage, wanted, seen, now),
        cannot_return: false,
        next,
    }
}

fn begin(state: &State, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Stage {
    let before = match seen.before.is_empty() {
        true => state.stage.before(),
        false => &seen.before,
    };
    let trial = Trial {
        revision: wanted.revision.clone(),
        since: now,
        began: now,
        last_end: None,
        before: before.to_vec(),
        without_canary: None,
    };
    canary::begin(trial, state, wanted, seen)
}

/// What stays as it is: of a service on its way to or from a host, which has a return of its own. A canary ends there.
pub fn stay(state: &State) -> Transition {
    let mut next = state.clone();
    if let Some(canary) = canary_of(state) {
        // Nobody has promoted it: its own pods stay what they are.
        next.stage = Stage::TakenBack(Failure {
            revision: canary.trial.revision.clone(),
            cause: "its service moved before its canary had come to its end".to_owned(),
            at: canary.trial.since,
            retry: None,
            before: Vec::new(),
        });
    }
    Transition {
        effective: effective(&next),
        canary: None,
        next,
        wake: None,
        cannot_return: false,
    }
}

/// What was to come back is not kept any more: what is wanted stays, and says so.
pub fn cannot_return(transition: Transition) -> Transition {
    let mut next = transition.next;
    let lost = "; what ran before is not kept any more";
    next.stage = match next.stage {
        Stage::Returning(mut failure) | Stage::TakenBack(mut failure) => {
            failure.cause += lost;
            Stage::Stopped(failure)
        }
        Stage::Canary(canary) => Stage::Rolling(Trial {
            without_canary: Some("what ran before is not kept any more".into()),
            ..canary.trial
        }),
        other @ (Stage::Idle | Stage::Rolling(_) | Stage::Gate(_) | Stage::Stopped(_)) => other,
    };
    if let Some(last) = next.history.first_mut()
        && last.result == ReleaseResult::TakenBack
    {
        last.result = ReleaseResult::Stopped;
        *last.cause.get_or_insert_default() += lost;
    }
    Transition {
        next,
        effective: Effective::Wanted,
        canary: None,
        wake: None,
        cannot_return: true,
    }
}

/// The Shop asks for something else than before.
fn turned_away(state: &State, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Stage {
    // What has proved itself need not do so again.
    if state.good.as_ref() == Some(&wanted.revision) {
        Stage::Idle
    } else {
        begin(state, wanted, seen, now)
    }
}

fn rolling(next: &mut State, trial: &Trial, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Stage {
    if seen.live.as_ref() != Some(&trial.revision) {
        return Stage::Rolling(trial.clone());
    }
    if let Some(cause) = &seen.trouble {
        return fail(next, trial, wanted, cause, now);
    }
    let is_whole = is_whole(seen, Some(&trial.revision));
    if is_whole && next.good.is_none() {
        // Nothing is there to go back to, so nothing is won by waiting.
        return pass(next, trial, wanted, seen, now);
    }
    if let Some(cause) = ends_in_errors(&trial.before, seen) {
        return fail(next, trial, wanted, &cause, now);
    }
    // The pods before are going.
    let mut trial = trial.clone();
    if trial.before.is_empty() {
        trial.before.clone_from(&seen.before);
    }
    match is_whole {
        true => Stage::Gate(Trial {
            since: now,
            last_end: seen.last_end.as_ref().map(|(at, _)| *at),
            ..trial
        }),
        false => Stage::Rolling(trial),
    }
}

fn gate(next: &mut State, trial: &Trial, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Stage {
    if !seen.has_pods {
        // Somebody has scaled it to none: there is nothing to judge.
        return Stage::Rolling(trial.clone());
    }
    let end = seen.last_end.as_ref();
    if let Some((_, cause)) = end.filter(|(at, _)| Some(*at) > trial.last_end) {
        return fail(next, trial, wanted, cause, now);
    }
    if let Some(cause) = ends_in_errors(&trial.before, seen) {
        return fail(next, trial, wanted, &cause, now);
    }
    let passed = now.duration_since(trial.since);
    let is_late = passed >= wanted.gate + wanted.deadline;
    if passed < wanted.gate || (is_silent(&trial.before, wanted, seen) && !is_late) {
        Stage::Gate(trial.clone())
    } else if is_whole(seen, Some(&trial.revision)) {
        match answers_worse(&trial.before, seen) {
            Some(cause) => fail(next, trial, wanted, &cause, now),
            None => pass(next, trial, wanted, seen, now),
        }
    } else if !is_late || seen.is_excused {
        Stage::Gate(trial.clone())
    } else {
        let cause = seen.trouble.as_deref();
        let cause = cause.unwrap_or("its pods were ready, and did not stay so");
        fail(next, trial, wanted, cause, now)
    }
}

/// Errors count as soon as there are more than chance makes.
pub(super) fn ends_in_errors(before: &[AnsweredBefore], seen: &Seen) -> Option<String> {
    let before = held_against(before, seen);
    compare::errors(before, &seen.before, seen.answers.as_ref()?)
}

/// How long answers take is judged when all is said: the first ones of a new pod take longer.
pub(super) fn answers_worse(before: &[AnsweredBefore], seen: &Seen) -> Option<String> {
    let answers = seen.answers.as_ref()?;
    let slow = || compare::slowness(held_against(before, seen), &seen.before, answers);
    ends_in_errors(before, seen).or_else(slow)
}

/// What the pods before had answered when the release began, or say now.
fn held_against<'a>(remembered: &'a [AnsweredBefore], seen: &'a Seen) -> &'a [AnsweredBefore] {
    match remembered.is_empty() {
        true => &seen.before,
        false => remembered,
    }
}

/// The pods before said what they had answered, and these do not: they may have too much to do to say it.
pub(super) fn is_silent(before: &[AnsweredBefore], wanted: &Wanted, seen: &Seen) -> bool {
    // Whoever turns it off in the midst of a release does not want to wait.
    wanted.judged_by == JudgedBy::Answers && seen.answers.is_none() && !before.is_empty()
}

fn pass(next: &mut State, trial: &Trial, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Stage {
    let answers = match wanted.judged_by {
        // Of the first one nothing is asked.
        JudgedBy::Answers if next.good.is_some() => {
            let before = held_against(&trial.before, seen);
            Some(compare::told(before, seen.answers.as_ref()))
        }
        JudgedBy::Answers | JudgedBy::Pods => None,
    };
    next.note(PastRelease {
        answers,
        without_canary: trial.without_canary.clone(),
        ..past(
            &trial.revision,
            &wanted.image,
            trial.began,
            now,
            ReleaseResult::Passed,
            None,
        )
    });
    next.good = Some(trial.revision.clone());
    Stage::Idle
}

fn fail(next: &mut State, trial: &Trial, wanted: &Wanted, cause: &str, now: Timestamp) -> Stage {
    let stopped = |next: &mut State, cause: &str| {
        let result = ReleaseResult::Stopped;
        Stage::Stopped(failed(next, trial, wanted, cause, result, now))
    };
    let good = match wanted.on_failure {
        OnFailure::Revert => next.good.as_ref(),
        OnFailure::Stop => None,
    };
    let Some(good) = good else {
        return stopped(next, cause);
    };
    if let Some(why) = next.left_behind(good) {
        let cause = format!("{cause}; what ran before does not come back: {why}");
        return stopped(next, &cause);
    }
    let result = ReleaseResult::TakenBack;
    Stage::Returning(failed(next, trial, wanted, cause, result, now))
}

/// Notes how a release failed.
pub(super) fn failed(
    next: &mut State,
    trial: &Trial,
    wanted: &Wanted,
    cause: &str,
    result: ReleaseResult,
    now: Timestamp,
) -> Failure {
    let cause = cause.to_owned();
    let (revision, image) = (&trial.revision, &wanted.image);
    next.note(PastRelease {
        without_canary: trial.without_canary.clone(),
        ..past(
            revision,
            image,
            trial.began,
            now,
            result,
            Some(cause.clone()),
        )
    });
    Failure {
        revision: revision.clone(),
        cause,
        at: now,
        retry: wanted.retry.clone(),
        before: trial.before.clone(),
    }
}

/// The Shop asks for something else than what failed. What may run until a migration is done is nothing that it asks for.
fn wants_something_else(failure: &Failure, wanted: &Wanted) -> bool {
    !wanted.is_held && wanted.revision != failure.revision
}

/// What comes back is there. Where somebody has scaled it to none meanwhile, there are no pods to wait for.
fn is_back(seen: &Seen, good: Option<&RevisionId>) -> bool {
    let is_of_it = good.is_some() && seen.live.as_ref() == good;
    is_whole(seen, good) || (is_of_it && !seen.has_pods)
}

/// All pods are of this revision, and there are some.
fn is_whole(seen: &Seen, revision: Option<&RevisionId>) -> bool {
    revision.is_some() && seen.live.as_ref() == revision && seen.complete && seen.has_pods
}

pub(super) fn effective(next: &State) -> Effective {
    match (&next.stage, &next.good) {
        (Stage::Canary(_) | Stage::Returning(_) | Stage::TakenBack(_), Some(good)) => {
            Effective::Kept(good.clone())
        }
        (
            Stage::Idle
            | Stage::Canary(_)
            | Stage::Rolling(_)
            | Stage::Gate(_)
            | Stage::Stopped(_)
            | Stage::Returning(_)
            | Stage::TakenBack(_),
            _,
        ) => Effective::Wanted,
    }
}

/// Watches tell of most. What a pod lacks counts once it has lacked it for a while, and nobody tells of that.
fn wake(stage: &Stage, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Option<Duration> {
    match stage {
        Stage::Canary(canary) => canary::wake(canary, wanted, seen, now),
        Stage::Rolling(trial) => {
            let is_new = now.duration_since(trial.since) < SignedDuration::from_mins(2);
            let is_asked = seen.answers.is_some();
            ((is_new || is_asked) && seen.has_pods).then_some(ASK_AGAIN)
        }
        Stage::Gate(trial) => Some(wake_of(trial, wanted.gate, wanted, seen, now)),
        Stage::Idle | Stage::Returning(_) | Stage::TakenBack(_) | Stage::Stopped(_) => None,
    }
}

/// When a time that pods must go on well is over, or pods are to be asked again.
pub(super) fn wake_of(
    trial: &Trial,
    time: SignedDuration,
    wanted: &Wanted,
    seen: &Seen,
    now: Timestamp,
) -> Duration {
    let passed = now.duration_since(trial.since);
    let end = match passed < time {
        true => time,
        false => time + wanted.deadline,
    };
    let left = Duration::try_from(end - passed).unwrap_or_default();
    let left = left.max(Duration::from_secs(1));
    let asks = seen.answers.is_some() || is_silent(&trial.before, wanted, seen);
    if asks { left.min(ASK_AGAIN) } else { left }
}
