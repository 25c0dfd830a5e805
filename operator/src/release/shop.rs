//! A release of the whole shop: a change of its version reaches the services that follow it wave by wave, and goes back from all of them
//! where one fails. Pure, and persisted like the releases of its services, from which it follows.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::state::{Failure, RevisionId, Stage, State, canary_of, past};
use crate::{
    api::{
        CanaryProgress, OnFailure, ReleaseResult, ServiceRevision, ShopReleaseStage,
        ShopReleaseStatus,
    },
    naming::names::ServiceName,
};

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopRelease {
    /// The version of the shop.
    pub version: String,
    /// When it began; none where it was there from the beginning.
    pub began: Option<Timestamp>,
    /// How far it is.
    pub stage: ShopStage,
    /// What each service had proved when it began, or proved later, before its turn came.
    pub before: BTreeMap<ServiceName, RevisionId>,
    /// Whose turn has come since the last release that ended: what these prove goes back with the others.
    pub begun: BTreeSet<ServiceName>,
}

/// How far a release of the shop is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShopStage {
    /// All services run it.
    Done,
    /// It goes from wave to wave.
    Rolling,
    /// A service failed, and those that have it already go back.
    Returning(ShopFailure),
    /// All run what they ran before.
    TakenBack(ShopFailure),
    /// A service failed, and the Shop forbids a return, or the schema of one does.
    Stopped(ShopFailure),
}

/// Why a release of the shop failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopFailure {
    /// The service that failed.
    pub service: ServiceName,
    /// Why, in one sentence.
    pub cause: String,
    /// What that service was asked for.
    pub asked: String,
    /// What the annotations for another try said.
    pub tries: BTreeSet<String>,
}

/// A service that follows the version of the shop.
#[derive(Clone, Debug)]
pub struct Member {
    /// The number of its wave.
    pub wave: usize,
    /// Its own release.
    pub state: State,
    /// A fingerprint of what is asked of it.
    pub asked: String,
    /// What the annotation for another try says.
    pub retry: Option<String>,
    /// Nobody has scaled it to none.
    pub has_pods: bool,
    /// It should be back for longer than a rollout may take.
    pub is_late: bool,
    /// How its migration failed.
    pub migration: Option<String>,
}

/// The members by name.
pub type Members = BTreeMap<ServiceName, Member>;

/// What a member may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// What it is asked for: it is in no release of the shop.
    Free,
    /// What it is asked for: it is its turn in a release of the shop.
    Goes,
    /// Nothing yet: it waits for somebody.
    Waits(String),
    /// Nothing: the release failed; the text says where and why.
    Held(String),
    /// It goes back.
    Returns {
        /// To this revision.
        to: RevisionId,
        /// Where the release failed, and why.
        cause: String,
    },
}

impl Member {
    /// It runs what is asked for, and that has proved itself. Where there are no pods, there is nothing to prove.
    fn is_done(&self) -> bool {
        self.has_begun()
            && match &self.state.stage {
                Stage::Idle => true,
                Stage::Canary(_) | Stage::Rolling(_) | Stage::Gate(_) | Stage::Stopped(_) => {
                    !self.has_pods
                }
                Stage::Returning(_) | Stage::TakenBack(_) => false,
            }
    }

    /// What it can go back to: the last revision that proved itself, or what it is to run, where there are no pods to prove it.
    fn proved(&self) -> Option<&RevisionId> {
        match (&self.state.stage, self.has_pods) {
            (Stage::Rolling(trial) | Stage::Gate(trial), false) => Some(&trial.revision),
            (Stage::Rolling(_) | Stage::Gate(_), true)
            | (
                Stage::Idle
                | Stage::Canary(_)
                | Stage::Returning(_)
                | Stage::TakenBack(_)
                | Stage::Stopped(_),
                true | false,
            ) => self.state.good.as_ref(),
        }
    }

    fn waits_for_somebody(&self) -> bool {
        let canary = canary_of(&self.state);
        canary.is_some_and(|canary| canary.progress == CanaryProgress::Waiting)
    }

    fn has_begun(&self) -> bool {
        self.state.asked.as_deref() == Some(self.asked.as_str())
    }

    /// Why what is asked for will not do.
    fn failure(&self) -> Option<&str> {
        match &self.state.stage {
            Stage::Stopped(_) if !self.has_pods => None,
            Stage::Returning(failure) | Stage::TakenBack(failure) | Stage::Stopped(failure)
                if self.has_begun() =>
            {
                Some(&failure.cause)
            }
            Stage::Idle
            | Stage::Canary(_)
            | Stage::Rolling(_)
            | Stage::Gate(_)
            | Stage::Returning(_)
            | Stage::TakenBack(_)
            | Stage::Stopped(_) => self.migration.as_deref(),
        }
    }
}

/// The release that this version is part of: the one that is remembered, or a new one. Where nothing is remembered, the shop has its
/// version from the beginning. While a pause or a closed window holds it, none begins.
pub fn current(
    last: Option<&ShopRelease>,
    version: &str,
    members: &mut Members,
    is_held: bool,
    now: Timestamp,
) -> ShopRelease {
    let Some(last) = last else {
        return ShopRelease {
            version: version.to_owned(),
            began: None,
            stage: ShopStage::Done,
            before: BTreeMap::new(),
            begun: BTreeSet::new(),
        };
    };
    let is_wanted_again = match &last.stage {
        ShopStage::TakenBack(failure) => is_wanted_again(members, failure),
        ShopStage::Done | ShopStage::Rolling | ShopStage::Returning(_) | ShopStage::Stopped(_) => {
            false
        }
    };
    if is_held || (last.version == version && !is_wanted_again) {
        return with_what_was_proved(last.clone(), members);
    }
    for member in members.values_mut() {
        try_again(member, last.version == version);
    }
    // What a release that has not ended began with is what a return goes back to.
    let is_over = matches!(last.stage, ShopStage::Done | ShopStage::TakenBack(_));
    let mut before: BTreeMap<_, _> = members
        .iter()
        .filter_map(|(name, member)| Some((name.clone(), member.proved()?.clone())))
        .collect();
    let mut begun = BTreeSet::new();
    if !is_over {
        before.extend(last.before.clone());
        begun.clone_from(&last.begun);
    }
    ShopRelease {
        version: version.to_owned(),
        began: Some(now),
        stage: ShopStage::Rolling,
        before,
        begun,
    }
}

/// Whoever changes what the service that failed is asked for, or asks for another try of any, wants one.
fn is_wanted_again(members: &Members, failure: &ShopFailure) -> bool {
    let is_new = |retry: &String| !failure.tries.contains(retry);
    let mut retries = members.values().filter_map(|member| member.retry.as_ref());
    asked(members, &failure.service) != failure.asked || retries.any(is_new)
}

/// What a service proves before its turn comes is what it goes back to, whether it followed the version when the release began or not;
/// also where that is in the very pass in which another one fails.
fn with_what_was_proved(mut release: ShopRelease, members: &Members) -> ShopRelease {
    let proves = |member: &Member| match release.stage {
        ShopStage::Rolling | ShopStage::Stopped(_) => true,
        ShopStage::Returning(_) => member.state.stage == Stage::Idle,
        ShopStage::Done | ShopStage::TakenBack(_) => false,
    };
    let not_begun = members.iter().filter(|(name, member)| {
        !member.has_begun() && !release.begun.contains(*name) && proves(member)
    });
    let proved: Vec<_> = not_begun
        .filter_map(|(name, member)| Some((name.clone(), member.proved()?.clone())))
        .collect();
    release.before.extend(proved);
    release
}

/// What was taken back begins anew. What stands still goes on as it is, unless it is to be tried as it is once more.
fn try_again(member: &mut Member, is_same: bool) {
    let state = &mut member.state;
    match state.stage {
        Stage::Returning(_) | Stage::TakenBack(_) => {}
        Stage::Stopped(_) if is_same => {}
        Stage::Idle | Stage::Canary(_) | Stage::Rolling(_) | Stage::Gate(_) | Stage::Stopped(_) => {
            return;
        }
    }
    state.stage = Stage::Idle;
    state.asked = None;
}

/// What this member may do now.
pub fn turn(release: &ShopRelease, members: &Members, name: &ServiceName) -> Turn {
    let Some(member) = members.get(name) else {
        return Turn::Free;
    };
    match &release.stage {
        ShopStage::Done => Turn::Free,
        ShopStage::Rolling | ShopStage::Stopped(_) if member.has_begun() => Turn::Goes,
        ShopStage::Rolling | ShopStage::Stopped(_) => {
            let mut others = members.iter();
            let late = others.find(|(_, other)| other.wave < member.wave && !other.is_done());
            late.map_or(Turn::Goes, |(other, late)| {
                let version = &release.version;
                let by_hand = if late.waits_for_somebody() {
                    format!(", and whose canary waits for `shopctl promote {other}`")
                } else {
                    String::new()
                };
                Turn::Waits(format!(
                    "{other}, which comes before it in the release of {version}{by_hand}"
                ))
            })
        }
        ShopStage::Returning(failure) | ShopStage::TakenBack(failure) => {
            let before = release.before.get(name);
            let later = members.iter().filter(|(_, other)| other.wave > member.wave);
            let mut later = later.map(|(name, other)| is_back(release, name, other));
            match before.filter(|before| in_force(&member.state) != Some(before)) {
                Some(before) if later.all(|back| back) => Turn::Returns {
                    to: before.clone(),
                    cause: told(release, failure, name),
                },
                Some(_) | None => Turn::Held(told(release, failure, name)),
            }
        }
    }
}

/// As far back as it will ever be.
fn is_back(release: &ShopRelease, name: &ServiceName, member: &Member) -> bool {
    let before = release.before.get(name);
    let is_of_before = before.is_none() || in_force(&member.state) == before;
    match &member.state.stage {
        Stage::Idle
        | Stage::Canary(_)
        | Stage::Rolling(_)
        | Stage::Gate(_)
        | Stage::TakenBack(_)
        | Stage::Stopped(_) => is_of_before,
        // Where nobody has pods of it, none will get ready; and one that cannot come back keeps no other from it.
        Stage::Returning(_) => is_of_before && (!member.has_pods || member.is_late),
    }
}

/// Why a member does not run the version of the shop.
fn told(release: &ShopRelease, failure: &ShopFailure, name: &ServiceName) -> String {
    let (version, service, cause) = (&release.version, &failure.service, &failure.cause);
    match service == name {
        true => format!("the release of {version} was taken back: {cause}"),
        false => {
            format!("the release of {version} was taken back, because {service} failed: {cause}")
        }
    }
}

/// Makes a member that runs this image go back, for a cause that is not its own.
pub fn go_back(
    release: &ShopRelease,
    member: &Member,
    to: RevisionId,
    image: &str,
    cause: String,
    now: Timestamp,
) -> State {
    let mut state = member.state.clone();
    let Some(revision) = in_force(&state).cloned() else {
        return state;
    };
    // By itself it came back to what proved itself in this very release.
    if let Stage::Returning(failure) | Stage::TakenBack(failure) = state.stage {
        state.good = Some(to);
        state.stage = Stage::Returning(failure);
        return state;
    }
    let (began, result) = (release.began.unwrap_or(now), ReleaseResult::TakenBack);
    state.note(past(
        &revision,
        image,
        began,
        now,
        result,
        Some(cause.clone()),
    ));
    state.good = Some(to);
    state.stage = Stage::Returning(Failure {
        revision,
        cause,
        at: now,
        retry: member.retry.clone(),
        before: Vec::new(),
    });
    state
}

/// The next stage, once the members have taken their next steps.
pub fn proceed(mut release: ShopRelease, members: &Members, on_failure: OnFailure) -> ShopRelease {
    if let ShopStage::Rolling | ShopStage::Stopped(_) = release.stage {
        let begun = members.iter().filter(|(_, member)| member.has_begun());
        release.begun.extend(begun.map(|(name, _)| name.clone()));
    }
    let stage = match &release.stage {
        ShopStage::Done | ShopStage::TakenBack(_) => release.stage.clone(),
        ShopStage::Rolling | ShopStage::Stopped(_) => match (failed(members), on_failure) {
            (Some(failure), OnFailure::Revert) => match left_behind(&release, members) {
                None => ShopStage::Returning(failure),
                // It says so itself.
                Some((name, _)) if *name == failure.service => ShopStage::Stopped(failure),
                Some((name, why)) => ShopStage::Stopped(ShopFailure {
                    cause: format!(
                        "{}; the shop does not go back: {name} cannot, because {why}",
                        failure.cause
                    ),
                    ..failure
                }),
            },
            (Some(failure), OnFailure::Stop) => ShopStage::Stopped(failure),
            (None, _) if members.values().all(Member::is_done) => ShopStage::Done,
            (None, _) => ShopStage::Rolling,
        },
        ShopStage::Returning(failure) => {
            let mut all = members.iter();
            match all.all(|(name, member)| is_back(&release, name, member)) {
                true => ShopStage::TakenBack(failure.clone()),
                false => release.stage.clone(),
            }
        }
    };
    ShopRelease { stage, ..release }
}

/// A service that has begun and cannot go back, and why. Then none does: what calls it, and what it calls, would be of before beside it, which
/// no release ever shows.
fn left_behind<'a>(
    release: &ShopRelease,
    members: &'a Members,
) -> Option<(&'a ServiceName, String)> {
    let mut begun = members.iter();
    begun.find_map(|(name, member)| {
        let before = release.before.get(name)?;
        let is_back = in_force(&member.state) == Some(before);
        let why = member.state.left_behind(before).filter(|_| !is_back)?;
        Some((name, why))
    })
}

/// The first in the order of the waves that failed.
fn failed(members: &Members) -> Option<ShopFailure> {
    let failed = members
        .iter()
        .filter_map(|(name, member)| Some((member.wave, name, member.failure()?)));
    let (_, service, cause) = failed.min()?;
    let tries = members.values().filter_map(|member| member.retry.clone());
    Some(ShopFailure {
        service: service.clone(),
        cause: cause.to_owned(),
        asked: asked(members, service),
        tries: tries.collect(),
    })
}

/// What the service is asked for; nothing, where it does not follow the version any more.
fn asked(members: &Members, service: &ServiceName) -> String {
    let member = members.get(service);
    member
        .map(|member| member.asked.clone())
        .unwrap_or_default()
}

/// What is to run, as far as the state tells: of a canary, what that runs.
pub fn in_force(state: &State) -> Option<&RevisionId> {
    match &state.stage {
        Stage::Canary(canary) => Some(&canary.trial.revision),
        Stage::Rolling(trial) | Stage::Gate(trial) => Some(&trial.revision),
        Stage::Stopped(failure) => Some(&failure.revision),
        Stage::Idle | Stage::Returning(_) | Stage::TakenBack(_) => state.good.as_ref(),
    }
}

impl ShopRelease {
    /// What the status remembers.
    pub fn of(status: &ShopReleaseStatus) -> Self {
        let failure = || {
            Some(ShopFailure {
                service: ServiceName::from(status.service.as_deref()?),
                cause: status.cause.clone().unwrap_or_default(),
                asked: status.asked.clone().unwrap_or_default(),
                tries: status.tries.iter().cloned().collect(),
            })
        };
        // One that lacks what it must have was written by somebody else.
        let stage = match status.stage {
            ShopReleaseStage::Done => None,
            ShopReleaseStage::Rolling => Some(ShopStage::Rolling),
            ShopReleaseStage::Returning => failure().map(ShopStage::Returning),
            ShopReleaseStage::TakenBack => failure().map(ShopStage::TakenBack),
            ShopReleaseStage::Stopped => failure().map(ShopStage::Stopped),
        };
        let before = status.before.iter();
        Self {
            version: status.version.clone(),
            began: status.began.as_ref().map(|time| time.0),
            stage: stage.unwrap_or(ShopStage::Done),
            before: before
                .map(|kept| (kept.name.as_str().into(), kept.revision.as_str().into()))
                .collect(),
            begun: status
                .begun
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        }
    }

    /// As the status tells it.
    pub fn to_status(&self) -> ShopReleaseStatus {
        let (stage, failure) = match &self.stage {
            ShopStage::Done => (ShopReleaseStage::Done, None),
            ShopStage::Rolling => (ShopReleaseStage::Rolling, None),
            ShopStage::Returning(failure) => (ShopReleaseStage::Returning, Some(failure)),
            ShopStage::TakenBack(failure) => (ShopReleaseStage::TakenBack, Some(failure)),
            ShopStage::Stopped(failure) => (ShopReleaseStage::Stopped, Some(failure)),
        };
        let before = self.before.iter();
        let tries = failure
            .into_iter()
            .flat_map(|failure| failure.tries.clone());
        ShopReleaseStatus {
            version: self.version.clone(),
            stage,
            began: self.began.map(Time),
            service: failure.map(|failure| failure.service.to_string()),
            cause: failure.map(|failure| failure.cause.clone()),
            asked: failure.map(|failure| failure.asked.clone()),
            tries: tries.collect(),
            before: before
                .map(|(name, revision)| ServiceRevision {
                    name: name.to_string(),
                    revision: revision.as_str().to_owned(),
                })
                .collect(),
            begun: self.begun.iter().map(ToString::to_string).collect(),
        }
    }
}
