//! Whether the pods of a revision will do.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use super::{advance::Seen, state::RevisionId};
use crate::{
    facts::{
        ServiceView, migration,
        observe::{Warnings, has_ended},
        trouble::{how_it_ended, of_pods},
    },
    naming::labels::REVISION_LABEL,
    progress::rollout::is_complete,
    reason::Reason,
};

/// A registry, a Secret or a node may be away for a moment.
const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// What is there of a service whose pods are to be of this revision.
pub fn seen(
    service: &ServiceView<'_>,
    revision: &RevisionId,
    warnings: &Warnings,
    now: Timestamp,
) -> Seen {
    let live = service.seen.deployment.as_deref();
    let kept: BTreeSet<_> = service.seen.revisions.iter().filter_map(id_of).collect();
    let Some(live) = live else {
        return Seen {
            kept,
            ..Seen::default()
        };
    };
    let pods: Vec<_> = service.seen.pods.iter().filter(is_of(revision)).collect();
    Seen {
        live: live
            .annotations()
            .get(REVISION_LABEL)
            .map(|id| id.as_str().into()),
        complete: is_complete(live, service.wanted.replicas),
        has_pods: live.spec.as_ref().and_then(|spec| spec.replicas) != Some(0),
        trouble: pods
            .iter()
            .find_map(|pod| will_not_do(pod, now))
            .or_else(|| gets_nowhere(live, service, revision, warnings)),
        ended_since: pods.iter().filter_map(|pod| last_end(pod)).max(),
        kept,
    }
}

/// The revision that a ControllerRevision keeps.
pub fn id_of(kept: &std::sync::Arc<impl ResourceExt>) -> Option<RevisionId> {
    let id = kept.labels().get(REVISION_LABEL)?;
    Some(id.as_str().into())
}

/// Of this revision, and neither going nor gone.
fn is_of(revision: &RevisionId) -> impl Fn(&&std::sync::Arc<Pod>) -> bool {
    move |pod| {
        pod.labels().get(REVISION_LABEL).map(String::as_str) == Some(revision.as_str())
            && pod.metadata.deletion_timestamp.is_none()
            && !has_ended(pod)
    }
}

fn will_not_do(pod: &std::sync::Arc<Pod>, now: Timestamp) -> Option<String> {
    let containers = containers(pod);
    if containers.iter().any(|container| crashes(container)) {
        return Some(of_pods(std::slice::from_ref(pod), &Warnings::new())?.message);
    }
    let made = pod.creation_timestamp()?.0;
    let problem = of_pods(std::slice::from_ref(pod), &Warnings::new())?;
    let is_final = matches!(
        problem.reason,
        Reason::ImagePullFailed | Reason::ContainerNotCreated
    );
    (is_final && now.duration_since(made) > PATIENCE).then_some(problem.message)
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

/// When a container of the pod has last ended badly, and how.
fn last_end(pod: &Pod) -> Option<(Timestamp, String)> {
    let ends = containers(pod).iter().filter_map(end_of);
    let bad = ends.filter(|end| end.exit_code != 0);
    let times = bad.filter_map(|end| Some((end.finished_at.as_ref()?.0, end)));
    let (at, end) = times.max_by_key(|(at, _)| *at)?;
    let how = how_it_ended(end);
    Some((
        at,
        format!("pod {} ended after it was ready: {how}", pod.name_any()),
    ))
}

fn containers(pod: &Pod) -> &[ContainerStatus] {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref());
    containers.unwrap_or_default()
}

/// How it ended now, or the last time.
fn end_of(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now = container.state.as_ref().and_then(|s| s.terminated.as_ref());
    let before = container.last_state.as_ref();
    now.or_else(|| before.and_then(|state| state.terminated.as_ref()))
}
