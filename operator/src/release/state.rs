//! What is remembered of the releases of one service. It stands in the status of the Shop, written before anything is applied, so that
//! an operator that ends at any moment goes on where it was.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use crate::api::{
    AnsweredBefore, CanaryProgress, CanaryStatus, HeldStatus, PastRelease, ReleaseResult,
    ReleaseStage, ReleaseStatus, SchemaStatus,
};

/// How many past releases are remembered, and how many revisions are kept.
pub const REMEMBERED: usize = 10;

/// A fingerprint of a template of pods: two that are the same have the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionId(String);

impl RevisionId {
    /// As text: 16 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RevisionId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last revision that proved itself: what a return goes back to.
    pub good: Option<RevisionId>,
    /// How far the present release is.
    pub stage: Stage,
    /// A fingerprint of what the Shop asked for when that began.
    pub asked: Option<String>,
    /// A fingerprint of the operator that made a template of it.
    pub made_by: Option<String>,
    /// A fingerprint of what has begun and waits for its migration: no window that closes meanwhile holds it.
    pub begun: Option<String>,
    /// A fingerprint of the operator that began it.
    pub begun_by: Option<String>,
    /// Why what the Shop asks for now does not begin. Only told: it is decided anew each time.
    pub held: Option<HeldStatus>,
    /// Which code runs on the schema of its database, where a migration has said so.
    pub schema: Option<SchemaStatus>,
    /// The releases that have ended, the last one first.
    pub history: Vec<PastRelease>,
}

/// How far a release is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// None is under way: what is wanted has proved itself.
    #[default]
    Idle,
    /// Some pods of the new revision serve beside those of the last good one, which stay.
    Canary(Canary),
    /// Pods are being replaced.
    Rolling(Trial),
    /// All pods are of the new revision, and it must go on well for a while.
    Gate(Trial),
    /// It failed. The last good revision comes back, whatever the Shop asks for.
    Returning(Failure),
    /// The last good revision runs again. The one that failed is not tried again before somebody changes something.
    TakenBack(Failure),
    /// It failed, and the Shop forbids a return, or there is nothing to go back to. What is wanted stays.
    Stopped(Failure),
}

/// A revision that has yet to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Which one.
    pub revision: RevisionId,
    /// Since when it is in this stage.
    pub since: Timestamp,
    /// When its release began.
    pub began: Timestamp,
    /// When a container of its pods had last ended badly, as the gate began. Nodes have clocks of their own: what ends later is told by
    /// their own times alone.
    pub last_end: Option<Timestamp>,
    /// What the pods before had answered; nothing where that is not known.
    pub before: Vec<AnsweredBefore>,
    /// Why it has no canary though the Shop asks for one.
    pub without_canary: Option<String>,
}

/// A revision of which some pods prove themselves first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Since when it is at this point of its step, and all else that is known of it.
    pub trial: Trial,
    /// The number of its step, from 0.
    pub step: usize,
    /// How far that is.
    pub progress: CanaryProgress,
    /// What the annotation to promote it said before that could count.
    pub promote: Option<String>,
    /// What the annotation to abort it said when the release began.
    pub abort: Option<String>,
}

/// A release that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of which revision.
    pub revision: RevisionId,
    /// Why, in one sentence.
    pub cause: String,
    /// When.
    pub at: Timestamp,
    /// What the annotation for another try said then.
    pub retry: Option<String>,
    /// What the pods before had answered; nothing where that is not known.
    pub before: Vec<AnsweredBefore>,
}

impl State {
    /// What the status remembers of a service.
    pub fn of(status: &ReleaseStatus) -> Self {
        Self {
            good: status.good.as_deref().map(RevisionId::from),
            stage: Stage::of(status),
            asked: status.asked.clone(),
            made_by: status.made_by.clone(),
            begun: status.begun.clone(),
            begun_by: status.begun_by.clone(),
            held: None,
            schema: status.schema.clone(),
            history: status.history.clone(),
        }
    }

    /// An operator that did not note yet what was asked for, nor who it was itself, has made what runs of the very Shop that is there. Without
    /// that, what this operator renders otherwise would be taken for a release.
    pub fn take_over(&mut self, asked: &str) {
        let is_unknown = self.asked.is_none() && self.made_by.is_none() && self.begun.is_none();
        if is_unknown && self.good.is_some() && self.stage == Stage::Idle {
            self.asked = Some(asked.to_owned());
            self.made_by = Some("unknown".to_owned());
        }
    }

    /// What it runs has yet to prove itself, or failed to, or what proved itself is on its way back.
    pub fn is_under_way(&self) -> bool {
        match &self.stage {
            Stage::Canary(_)
            | Stage::Rolling(_)
            | Stage::Gate(_)
            | Stage::Returning(_)
            | Stage::Stopped(_) => true,
            Stage::Idle | Stage::TakenBack(_) => false,
        }
    }

    /// As the status tells it.
    pub fn to_status(&self, service: &str) -> ReleaseStatus {
        let mut status = ReleaseStatus {
            name: service.to_owned(),
            good: self.good.as_ref().map(|id| id.as_str().to_owned()),
            asked: self.asked.clone(),
            made_by: self.made_by.clone(),
            begun: self.begun.clone(),
            begun_by: self.begun_by.clone(),
            held: self.held.clone(),
            schema: self.schema.clone(),
            history: self.history.clone(),
            ..ReleaseStatus::default()
        };
        let trial = |trial: &Trial, stage, status: &mut ReleaseStatus| {
            status.stage = stage;
            status.revision = Some(trial.revision.as_str().to_owned());
            status.since = Some(Time(trial.since));
            status.began = Some(Time(trial.began));
            status.last_end = trial.last_end.map(Time);
            status.before.clone_from(&trial.before);
            status.without_canary.clone_from(&trial.without_canary);
        };
        let failure = |failure: &Failure, stage, status: &mut ReleaseStatus| {
            status.stage = stage;
            status.revision = Some(failure.revision.as_str().to_owned());
            status.since = Some(Time(failure.at));
            status.cause = Some(failure.cause.clone());
            status.retry.clone_from(&failure.retry);
            status.before.clone_from(&failure.before);
        };
        match &self.stage {
            Stage::Idle => status.stage = ReleaseStage::Idle,
            Stage::Canary(of) => {
                trial(&of.trial, ReleaseStage::Canary, &mut status);
                status.canary = Some(of.to_status());
            }
            Stage::Rolling(of) => trial(of, ReleaseStage::Rolling, &mut status),
            Stage::Gate(of) => trial(of, ReleaseStage::Gate, &mut status),
            Stage::Returning(of) => failure(of, ReleaseStage::Returning, &mut status),
            Stage::TakenBack(of) => failure(of, ReleaseStage::TakenBack, &mut status),
            Stage::Stopped(of) => failure(of, ReleaseStage::Stopped, &mut status),
        }
        status
    }

    /// Notes how a release ended. One that stays as it is may get on for a moment again and again: that is one end.
    pub(super) fn note(&mut self, past: PastRelease) {
        let past = PastRelease {
            schema: self.version_of(&past.image),
            ..past
        };
        let is_same = |last: &&mut PastRelease| {
            last.result == ReleaseResult::Stopped
                && (last.result, &last.revision) == (past.result, &past.revision)
        };
        match self.history.first_mut().filter(is_same) {
            Some(last) => *last = past,
            None => self.history.insert(0, past),
        }
        self.forget_oldest();
    }
}

impl Stage {
    /// What the pods before had answered, as far as that is remembered.
    pub(super) fn before(&self) -> &[AnsweredBefore] {
        match self {
            Self::Idle => &[],
            Self::Canary(canary) => &canary.trial.before,
            Self::Rolling(trial) | Self::Gate(trial) => &trial.before,
            Self::Returning(failure) | Self::TakenBack(failure) | Self::Stopped(failure) => {
                &failure.before
            }
        }
    }

    /// One that lacks what it must have was written by somebody else: then nothing is under way.
    fn of(status: &ReleaseStatus) -> Self {
        let revision = || status.revision.as_deref().map(RevisionId::from);
        let since = || status.since.as_ref().map(|time| time.0);
        let trial = || {
            Some(Trial {
                revision: revision()?,
                since: since()?,
                began: status.began.as_ref().map(|time| time.0).or_else(since)?,
                last_end: status.last_end.as_ref().map(|time| time.0),
                before: status.before.clone(),
                without_canary: status.without_canary.clone(),
            })
        };
        let failure = || {
            Some(Failure {
                revision: revision()?,
                cause: status.cause.clone().unwrap_or_default(),
                at: since()?,
                retry: status.retry.clone(),
                before: status.before.clone(),
            })
        };
        let stage = match status.stage {
            ReleaseStage::Idle => None,
            // There is one only beside what has proved itself.
            ReleaseStage::Canary if status.good.is_none() => None,
            ReleaseStage::Canary => {
                let canary = |trial| Canary::of(trial, status.canary.as_ref()?);
                trial().and_then(canary).map(Self::Canary)
            }
            ReleaseStage::Rolling => trial().map(Self::Rolling),
            ReleaseStage::Gate => trial().map(Self::Gate),
            ReleaseStage::Returning => failure().map(Self::Returning),
            ReleaseStage::TakenBack => failure().map(Self::TakenBack),
            ReleaseStage::Stopped => failure().map(Self::Stopped),
        };
        stage.unwrap_or(Self::Idle)
    }
}

impl Canary {
    fn to_status(&self) -> CanaryStatus {
        CanaryStatus {
            step: i32::try_from(self.step + 1).unwrap_or(i32::MAX),
            progress: self.progress,
            promote: self.promote.clone(),
            abort: self.abort.clone(),
        }
    }

    fn of(trial: Trial, status: &CanaryStatus) -> Option<Self> {
        Some(Self {
            trial,
            step: usize::try_from(status.step).ok()?.checked_sub(1)?,
            progress: status.progress,
            promote: status.promote.clone(),
            abort: status.abort.clone(),
        })
    }
}

/// The canary that is under way, if it is one.
pub fn canary_of(state: &State) -> Option<&Canary> {
    match &state.stage {
        Stage::Canary(canary) => Some(canary),
        Stage::Idle
        | Stage::Rolling(_)
        | Stage::Gate(_)
        | Stage::Returning(_)
        | Stage::TakenBack(_)
        | Stage::Stopped(_) => None,
    }
}

/// The end of a release, for the history.
pub(super) fn past(
    revision: &RevisionId,
    image: &str,
    began: Timestamp,
    ended: Timestamp,
    result: ReleaseResult,
    cause: Option<String>,
) -> PastRelease {
    PastRelease {
        revision: revision.as_str().to_owned(),
        image: image.to_owned(),
        began: Time(began),
        ended: Time(ended),
        result,
        cause,
        schema: None,
        without_canary: None,
        answers: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_made_that_noted_less_is_what_the_shop_asks_for() {
        let older = State {
            good: Some("a".into()),
            ..State::default()
        };
        let mut state = older.clone();
        state.take_over("asked");
        assert_eq!(state.asked.as_deref(), Some("asked"));
        assert!(state.made_by.is_some(), "by another one than this");

        // Another try that has yet to begin, one that waits for its migration, and what has never proved itself.
        let made_by = Some("this".to_owned());
        let begun = made_by.clone();
        for other in [
            State {
                made_by,
                ..older.clone()
            },
            State { begun, ..older },
            State::default(),
        ] {
            let mut state = other.clone();
            state.take_over("asked");
            assert_eq!(state, other);
        }
    }
}
