//! Whether the pods of a revision will do.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    },
    jiff::Timestamp,
};
use kube::ResourceExt;

use super::{
    advance::Seen,
    state::{Canary, RevisionId, Stage},
};
use crate::{
    api::PastRelease,
    facts::{
        ServiceView,
        database::DatabaseState,
        migration,
        observe::{ObservedService, Warnings, has_ended},
        trouble::{how_it_ended, of_pods},
    },
    model::validate::Replicas,
    naming::{
        labels::{REVISION_LABEL, SERVES_LABEL},
        names::ServiceName,
    },
    objects::revision,
    progress::{
        rollout::is_complete,
        runs::{self, Noted},
    },
};

/// What is there of a service whose pods are to be of this revision; while there is a canary, of that.
pub fn seen(
    service: &ServiceView<'_>,
    revision: &RevisionId,
    stage: &Stage,
    warnings: &Warnings,
) -> Seen {
    let Some(own) = service.seen.deployment.as_deref() else {
        return Seen {
            // Somebody took it away, and it comes back: nobody has scaled it to none.
            has_pods: matches!(stage, Stage::Canary(_)),
            ..Seen::default()
        };
    };
    let count = replicas(own);
    let database = service.database;
    let is_excused = database.is_some_and(|state| *state != DatabaseState::Prepared);
    let around = Seen {
        has_pods: count != Some(0),
        is_excused,
        ..Seen::default()
    };
    let Some((live, pods, replicas)) = judged(service, own, count, stage) else {
        return around;
    };
    let name = service.name();
    let noted = noted(service.seen, &[], revision);
    let is_of_it = |pod: &&Arc<Pod>| is_there(pod, revision, noted);
    let pods: Vec<_> = pods.iter().filter(is_of_it).cloned().collect();
    let nowhere = || gets_nowhere(live, service, &pods, warnings).filter(|_| !is_excused);
    let crashing = pods.iter().find_map(|pod| will_not_do(name, pod));
    Seen {
        live: revision::of_deployment(live),
        complete: is_complete(live, replicas),
        trouble: crashing.or_else(nowhere),
        last_end: pods
            .iter()
            .filter_map(|pod| last_end(name, pod, stage))
            .max(),
        ..around
    }
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

/// The Deployment that is judged, with its pods and how many there should be; none where there is no canary yet, or not the step that it
/// is at.
fn judged<'a>(
    service: &ServiceView<'a>,
    own: &'a Deployment,
    count: Option<i32>,
    stage: &Stage,
) -> Option<(&'a Deployment, &'a [Arc<Pod>], Replicas)> {
    let seen = service.seen;
    match stage {
        Stage::Canary(canary) => {
            let step = service.wanted.canary.get(canary.step)?;
            let pods = Replicas::Fixed(step.pods(count.unwrap_or(1)));
            Some((seen.canary.as_deref()?, &seen.canary_pods, pods))
        }
        Stage::Idle
        | Stage::Rolling(_)
        | Stage::Gate(_)
        | Stage::Returning(_)
        | Stage::TakenBack(_)
        | Stage::Stopped(_) => Some((own, &seen.pods, service.wanted.replicas)),
    }
}

/// A pod that would serve no more, if the Service led to a canary too.
pub fn unlabelled(seen: &ObservedService) -> Option<&Arc<Pod>> {
    let is_there = |pod: &&Arc<Pod>| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod);
    let mut all = seen.pods.iter().filter(is_there);
    all.find(|pod| !pod.labels().contains_key(SERVES_LABEL))
}

/// Why no canary can be beside the pods that run: the Service finds pods of both by a label that those of older operators lack.
pub fn no_canary(seen: &ObservedService, good: Option<&RevisionId>) -> Option<String> {
    if let Some(pod) = unlabelled(seen) {
        let name = pod.name_any();
        return Some(format!(
            "pod {name} has no label {SERVES_LABEL} yet, which comes with this very release"
        ));
    }
    let has_good = good.is_some_and(|good| {
        let noted = noted(seen, &[], good);
        seen.pods.iter().any(|pod| is_there(pod, good, noted))
    });
    (!has_good).then(|| "no pod of the last good revision is there to hold it against".to_owned())
}

/// What the pods of a revision are to run, where somebody may have set another image; their Deployment says it, or, once that is to run
/// another revision, the history.
pub fn noted<'a>(
    seen: &'a ObservedService,
    history: &'a [PastRelease],
    revision: &RevisionId,
) -> Option<Noted<'a>> {
    let both = [&seen.deployment, &seen.canary].into_iter().flatten();
    let all: Vec<_> = both.filter_map(|live| runs::noted(live)).collect();
    let mut its = all
        .iter()
        .filter(|noted| noted.revision == revision.as_str());
    let known = || {
        let mut history = history.iter();
        let past = history.find(|past| past.revision == revision.as_str())?;
        Some(Noted {
            revision: &past.revision,
            image: &past.image,
            ..*all.first()?
        })
    };
    its.next().copied().or_else(known)
}

/// A pod of this revision, of which this is noted, answers requests.
pub fn serves(pod: &Pod, revision: &RevisionId, noted: Option<Noted<'_>>) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let mut conditions = conditions.flatten();
    let is_ready = conditions.any(|is| is.type_ == "Ready" && is.status == "True");
    is_ready && is_there(pod, revision, noted)
}

/// Of this revision, with the image of it, and neither going nor gone.
fn is_there(pod: &Pod, revision: &RevisionId, noted: Option<Noted<'_>>) -> bool {
    pod.labels().get(REVISION_LABEL).map(String::as_str) == Some(revision.as_str())
        && pod.metadata.deletion_timestamp.is_none()
        && !has_ended(pod)
        && !noted.is_some_and(|noted| noted.is_by_hand(pod))
}

fn will_not_do(service: &ServiceName, pod: &Pod) -> Option<String> {
    let container = container(service, pod).filter(|container| crashes(container))?;
    let how = how_it_ended(end_of(container)?);
    Some(format!("pod {} crashes: {how}", pod.name_any()))
}

/// It has ended twice, or said that it refuses its settings. The schema's being behind says nothing about the image: the migration is
/// done once more.
fn crashes(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let is_down = state.is_some_and(|state| state.running.is_none());
    let Some(end) = end_of(container).filter(|_| is_down && !container.ready) else {
        return false;
    };
    match end.exit_code {
        0 | migration::SCHEMA_BEHIND => false,
        migration::WRONG_SETTING => true,
        _ => container.restart_count > 0,
    }
}

/// The Deployment has given up, and says so of what it is to run now.
fn gets_nowhere(
    live: &Deployment,
    service: &ServiceView<'_>,
    pods: &[Arc<Pod>],
    warnings: &Warnings,
) -> Option<String> {
    let status = live.status.as_ref()?;
    let is_told = status.observed_generation >= live.metadata.generation;
    let mut conditions = status.conditions.iter().flatten();
    let is_late = conditions.any(|condition| {
        condition.type_ == "Progressing"
            && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    (is_told && is_late).then(|| {
        let problem = of_pods(pods, warnings).map(|problem| problem.message);
        problem.unwrap_or_else(|| {
            let name = live.name_any();
            let seconds = service.shop.rollout.deadline.as_secs();
            format!("Deployment {name} got no new pod ready for {seconds} s")
        })
    })
}

/// When the container of the pod has last ended badly, and how. One that is new in the gate, or in a step of a canary, may end once
/// before it is ready, as the others might before it.
fn last_end(service: &ServiceName, pod: &Pod, stage: &Stage) -> Option<(Timestamp, String)> {
    let container = container(service, pod)?;
    let made = pod.creation_timestamp().map(|made| made.0);
    let is_new = match stage {
        Stage::Gate(trial) => made.is_some_and(|made| made > trial.since),
        // They are made at once, and the API server notes whole seconds.
        Stage::Canary(Canary { trial, .. }) => {
            made.is_some_and(|made| made.as_second() >= trial.since.as_second())
        }
        Stage::Idle
        | Stage::Rolling(_)
        | Stage::Returning(_)
        | Stage::TakenBack(_)
        | Stage::Stopped(_) => false,
    };
    let end = end_of(container)?;
    // Of a node that was away nobody knows how its containers ended.
    let is_known = !matches!(
        end.reason.as_deref(),
        Some("Unknown" | "ContainerStatusUnknown")
    );
    let is_bad = is_known && !matches!(end.exit_code, 0 | migration::SCHEMA_BEHIND);
    let counts = is_bad && (!is_new || container.restart_count > 1);
    let at = end.finished_at.as_ref().filter(|_| counts)?.0;
    let how = how_it_ended(end);
    Some((at, format!("pod {} ended: {how}", pod.name_any())))
}

/// The one that serves. Others are injected, and are not what was released.
fn container<'a>(service: &ServiceName, pod: &'a Pod) -> Option<&'a ContainerStatus> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    containers.find(|container| container.name == service.as_str())
}

/// How it ended now, or the last time.
fn end_of(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now = container.state.as_ref().and_then(|s| s.terminated.as_ref());
    let before = container.last_state.as_ref();
    now.or_else(|| before.and_then(|state| state.terminated.as_ref()))
}
