//! Whether the pods of a revision will do.

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
    state::{RevisionId, Stage},
};
use crate::{
    facts::{
        ServiceView,
        database::DatabaseState,
        migration,
        observe::{Warnings, has_ended},
        trouble::{how_it_ended, of_pods},
    },
    naming::{labels::REVISION_LABEL, names::ServiceName},
    progress::rollout::is_complete,
};

/// What is there of a service whose pods are to be of this revision.
pub fn seen(
    service: &ServiceView<'_>,
    revision: &RevisionId,
    stage: &Stage,
    warnings: &Warnings,
) -> Seen {
    let live = service.seen.deployment.as_deref();
    let Some(live) = live else {
        return Seen::default();
    };
    let name = service.name();
    let pods: Vec<_> = service.seen.pods.iter().filter(is_of(revision)).collect();
    let database = service.database;
    let is_excused = database.is_some_and(|state| *state != DatabaseState::Prepared);
    let nowhere = || gets_nowhere(live, service, revision, warnings).filter(|_| !is_excused);
    Seen {
        live: live
            .annotations()
            .get(REVISION_LABEL)
            .map(|id| id.as_str().into()),
        complete: is_complete(live, service.wanted.replicas),
        has_pods: live.spec.as_ref().and_then(|spec| spec.replicas) != Some(0),
        trouble: pods
            .iter()
            .find_map(|pod| will_not_do(name, pod))
            .or_else(nowhere),
        last_end: pods
            .iter()
            .filter_map(|pod| last_end(name, pod, stage))
            .max(),
        is_excused,
        before: Vec::new(),
        answers: None,
    }
}

/// A pod of this revision answers requests.
pub fn serves(pod: &Pod, revision: &RevisionId) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let mut conditions = conditions.flatten();
    let is_ready = conditions.any(|is| is.type_ == "Ready" && is.status == "True");
    is_ready && is_there(pod, revision)
}

/// Of this revision, and neither going nor gone.
fn is_of(revision: &RevisionId) -> impl Fn(&&std::sync::Arc<Pod>) -> bool {
    move |pod| is_there(pod, revision)
}

fn is_there(pod: &Pod, revision: &RevisionId) -> bool {
    pod.labels().get(REVISION_LABEL).map(String::as_str) == Some(revision.as_str())
        && pod.metadata.deletion_timestamp.is_none()
        && !has_ended(pod)
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
    revision: &RevisionId,
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
        let pods = service.seen.pods.iter().filter(is_of(revision));
        let pods: Vec<_> = pods.cloned().collect();
        let problem = of_pods(&pods, warnings).map(|problem| problem.message);
        problem.unwrap_or_else(|| {
            let name = live.name_any();
            let seconds = service.shop.rollout.deadline.as_secs();
            format!("Deployment {name} got no new pod ready for {seconds} s")
        })
    })
}

/// When the container of the pod has last ended badly, and how. One that is new in the gate may end once before it is ready, as the
/// others might before it.
fn last_end(service: &ServiceName, pod: &Pod, stage: &Stage) -> Option<(Timestamp, String)> {
    let container = container(service, pod)?;
    let is_new = match stage {
        Stage::Gate(trial) => pod
            .creation_timestamp()
            .is_some_and(|made| made.0 > trial.since),
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
