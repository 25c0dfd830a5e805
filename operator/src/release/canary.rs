//! A canary: in steps, some pods of the new revision serve beside those of the last good one, of which none goes. Pure.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    advance::{ASK_AGAIN, Seen, Wanted, answers_worse, ends_in_errors, failed, is_silent, wake_of},
    state::{Canary, Stage, State, Trial},
};
use crate::{
    api::{CanaryProgress, ReleaseResult},
    model::canary::Step,
};

/// What the Shop asks for of a canary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedCanary {
    /// One after the other; without any, there is none.
    pub steps: Vec<Step>,
    /// What the annotation to promote it says.
    pub promote: Option<String>,
    /// What the annotation to abort it says.
    pub abort: Option<String>,
}

/// How a release begins: with a canary, where one is asked for and there are good pods to hold it against.
pub(super) fn begin(trial: Trial, state: &State, wanted: &Wanted, seen: &Seen) -> Stage {
    let asked = &wanted.canary;
    if asked.steps.is_empty() || state.good.is_none() || !seen.has_pods {
        return Stage::Rolling(trial);
    }
    let no_canary = good_is_left_behind(state).or_else(|| seen.no_canary.clone());
    match no_canary {
        None => Stage::Canary(Canary {
            trial,
            step: 0,
            progress: CanaryProgress::Starting,
            promote: asked.promote.clone(),
            abort: asked.abort.clone(),
        }),
        why @ Some(_) => Stage::Rolling(Trial {
            without_canary: why,
            ..trial
        }),
    }
}

/// What the pods beside it would be: they were left behind by the migration of this very release, and do not come back once they go.
fn good_is_left_behind(state: &State) -> Option<String> {
    let why = state.left_behind(state.good.as_ref()?)?;
    Some(format!("what runs was left behind by its migration: {why}"))
}

/// The next step of a canary. What the Shop says of it may have changed meanwhile: without a step that it could be at, all pods follow.
pub(super) fn advance(
    next: &mut State,
    canary: &Canary,
    wanted: &Wanted,
    seen: &Seen,
    now: Timestamp,
) -> Stage {
    let trial = &canary.trial;
    if concerns(&wanted.canary.abort, &canary.abort, trial) {
        return fail(next, trial, wanted, "it was aborted by hand", now);
    }
    let no_pods =
        (!seen.has_pods).then(|| "the service was scaled to none in its midst".to_owned());
    if let Some(why) = no_pods.or_else(|| good_is_left_behind(next)) {
        return roll(
            &Trial {
                without_canary: Some(why),
                ..trial.clone()
            },
            now,
        );
    }
    let Some(step) = wanted.canary.steps.get(canary.step) else {
        return roll(trial, now);
    };
    if seen.live.as_ref() != Some(&trial.revision) {
        return Stage::Canary(noted(canary, wanted));
    }
    if let Some(cause) = fails(canary, seen) {
        return fail(next, trial, wanted, &cause, now);
    }
    let canary = with_before(canary, seen);
    match canary.progress {
        CanaryProgress::Starting => starting(next, &canary, step, wanted, seen, now),
        CanaryProgress::Passing | CanaryProgress::Waiting => match step.pause {
            Some(pause) => passing(next, &canary, pause, wanted, seen, now),
            None => waiting(next, &canary, wanted, seen, now),
        },
    }
}

/// What counts at once. While the first pods come, one end of a container may be bad luck.
fn fails(canary: &Canary, seen: &Seen) -> Option<String> {
    let trial = &canary.trial;
    let is_first = canary.step == 0 && canary.progress == CanaryProgress::Starting;
    let end = seen.last_end.as_ref().filter(|_| !is_first);
    let end = end.filter(|(at, _)| Some(*at) > trial.last_end);
    let ended = end.map(|(_, cause)| cause.clone());
    ended.or_else(|| ends_in_errors(&trial.before, seen))
}

/// Its pods come.
fn starting(
    next: &mut State,
    canary: &Canary,
    step: &Step,
    wanted: &Wanted,
    seen: &Seen,
    now: Timestamp,
) -> Stage {
    let trial = &canary.trial;
    if let Some(cause) = &seen.trouble {
        return fail(next, trial, wanted, cause, now);
    }
    if seen.complete {
        let progress = match step.pause {
            Some(_) => CanaryProgress::Passing,
            None => CanaryProgress::Waiting,
        };
        let last_end = seen.last_end.as_ref().map(|(at, _)| *at);
        let trial = Trial {
            since: now,
            last_end: last_end.max(trial.last_end),
            ..trial.clone()
        };
        return Stage::Canary(Canary {
            trial,
            progress,
            ..noted(canary, wanted)
        });
    }
    // A Deployment that only grows never says that it gets nowhere.
    let is_late = now.duration_since(trial.since) >= wanted.deadline;
    if is_late && !seen.is_excused {
        let seconds = wanted.deadline.as_secs();
        let cause = format!("the pods of its canary did not get ready within {seconds} s");
        return fail(next, trial, wanted, &cause, now);
    }
    Stage::Canary(noted(canary, wanted))
}

/// They are there, and must go on well for a while: as in the gate.
fn passing(
    next: &mut State,
    canary: &Canary,
    pause: SignedDuration,
    wanted: &Wanted,
    seen: &Seen,
    now: Timestamp,
) -> Stage {
    let trial = &canary.trial;
    let stays = || {
        Stage::Canary(Canary {
            progress: CanaryProgress::Passing,
            ..noted(canary, wanted)
        })
    };
    let passed = now.duration_since(trial.since);
    let is_late = passed >= pause + wanted.deadline;
    if passed < pause || (is_silent(&trial.before, wanted, seen) && !is_late) {
        stays()
    } else if seen.complete {
        match answers_worse(&trial.before, seen) {
            Some(cause) => fail(next, trial, wanted, &cause, now),
            None => next_step(canary, wanted, now),
        }
    } else if !is_late || seen.is_excused {
        stays()
    } else {
        let cause = seen.trouble.as_deref();
        let cause = cause.unwrap_or("the pods of its canary were ready, and did not stay so");
        fail(next, trial, wanted, cause, now)
    }
}

/// They are there, and somebody says when to go on. However long that takes, they must go on well.
fn waiting(
    next: &mut State,
    canary: &Canary,
    wanted: &Wanted,
    seen: &Seen,
    now: Timestamp,
) -> Stage {
    let trial = &canary.trial;
    // One more that came because the service grew, or in the place of one that went: what is said meanwhile counts once it is ready.
    if !seen.complete {
        return match &seen.trouble {
            Some(cause) => fail(next, trial, wanted, cause, now),
            None => Stage::Canary(canary.clone()),
        };
    }
    // A step that was to pass by itself before: what was said meanwhile did not count.
    if canary.progress == CanaryProgress::Passing {
        return Stage::Canary(Canary {
            progress: CanaryProgress::Waiting,
            ..noted(canary, wanted)
        });
    }
    if !concerns(&wanted.canary.promote, &canary.promote, trial) {
        return Stage::Canary(canary.clone());
    }
    match answers_worse(&trial.before, seen) {
        Some(cause) => fail(next, trial, wanted, &cause, now),
        None => next_step(canary, wanted, now),
    }
}

/// What an annotation says concerns this release where it names its revision, and is not what it said before.
fn concerns(says: &Option<String>, said: &Option<String>, trial: &Trial) -> bool {
    let new = says.as_ref().filter(|_| says != said);
    let named = new.and_then(|value| value.split_whitespace().next());
    named == Some(trial.revision.as_str())
}

/// Nothing waits to be promoted: what is said now does not count later.
fn noted(canary: &Canary, wanted: &Wanted) -> Canary {
    Canary {
        promote: wanted.canary.promote.clone(),
        ..canary.clone()
    }
}

fn with_before(canary: &Canary, seen: &Seen) -> Canary {
    let mut canary = canary.clone();
    if canary.trial.before.is_empty() {
        canary.trial.before.clone_from(&seen.before);
    }
    canary
}

fn next_step(canary: &Canary, wanted: &Wanted, now: Timestamp) -> Stage {
    let step = canary.step + 1;
    if step >= wanted.canary.steps.len() {
        return roll(&canary.trial, now);
    }
    Stage::Canary(Canary {
        trial: Trial {
            since: now,
            ..canary.trial.clone()
        },
        step,
        progress: CanaryProgress::Starting,
        ..noted(canary, wanted)
    })
}

/// All pods are replaced, as without a canary.
fn roll(trial: &Trial, now: Timestamp) -> Stage {
    Stage::Rolling(Trial {
        since: now,
        last_end: None,
        ..trial.clone()
    })
}

/// Its pods go, whatever the Shop says of releases that fail: those of the last good revision never went, and there is nothing to return to.
fn fail(next: &mut State, trial: &Trial, wanted: &Wanted, cause: &str, now: Timestamp) -> Stage {
    let result = ReleaseResult::TakenBack;
    Stage::TakenBack(failed(next, trial, wanted, cause, result, now))
}

/// Watches tell of pods; the time of a step and what its pods answer nobody tells. One that waits for somebody is looked at as often as
/// anything that is not at its end.
pub(super) fn wake(
    canary: &Canary,
    wanted: &Wanted,
    seen: &Seen,
    now: Timestamp,
) -> Option<Duration> {
    let step = wanted.canary.steps.get(canary.step)?;
    match (canary.progress, step.pause) {
        (CanaryProgress::Starting, _) => Some(ASK_AGAIN),
        (CanaryProgress::Passing, Some(pause)) => {
            Some(wake_of(&canary.trial, pause, wanted, seen, now))
        }
        (CanaryProgress::Passing | CanaryProgress::Waiting, _) => None,
    }
}
