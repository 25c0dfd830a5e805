//! Why pods do not run, in words that stay the same from one look to the next: no times, no counts, no back-offs.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    jiff::Timestamp,
};
use kube::ResourceExt;

use crate::{
    error::{Class, Error},
    facts::{
        migration,
        observe::{Warnings, has_ended},
    },
    reason::Reason,
};

/// Of the last line of a log.
const QUOTED_BYTES: usize = 500;

/// Why something is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One word.
    pub reason: Reason,
    /// Kind and name of the object that it is about.
    pub object: String,
    /// One sentence that names the object.
    pub message: String,
    /// Time alone will not solve it.
    pub needs_help: bool,
}

impl Problem {
    /// It needs time only.
    pub fn waiting(reason: Reason, object: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason,
            object: object.into(),
            message: message.into(),
            needs_help: false,
        }
    }

    /// Somebody must do something.
    pub fn blocked(reason: Reason, object: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            needs_help: true,
            ..Self::waiting(reason, object, message)
        }
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let class = error.class();
        Self {
            reason: class.reason(),
            object: "Shop".into(),
            message: error.to_string(),
            needs_help: match class {
                Class::Invalid | Class::NameTaken | Class::Forbidden | Class::Bug => true,
                Class::Conflict | Class::Transient => false,
            },
        }
    }
}

/// The first cause among the pods, by name. Pods that are going, have ended or were evicted do not count: others take their
/// place.
pub fn of_pods(pods: &[Arc<Pod>], warnings: &Warnings) -> Option<Problem> {
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod))
        .find_map(|pod| of_pod(pod).or_else(|| hanging(pod, warnings)))
}

/// A pod that waits without saying why, while Kubernetes warns of it.
fn hanging(pod: &Pod, warnings: &Warnings) -> Option<Problem> {
    let name = pod.name_any();
    let warning = warnings.get(&name)?;
    Some(Problem::blocked(
        Reason::PodHangs,
        format!("Pod {name}"),
        format!("pod {name} does not start: {warning}"),
    ))
}

fn of_pod(pod: &Pod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    let unschedulable = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = unschedulable {
        let why = condition.message.as_deref().unwrap_or("no node fits");
        // A claim that is being bound looks like this for a moment.
        return Some(if why.contains("PersistentVolumeClaim") {
            Problem::waiting(
                Reason::VolumePending,
                format!("Pod {name}"),
                format!("pod {name} waits for its volume: {why}"),
            )
        } else {
            Problem::blocked(
                Reason::Unschedulable,
                format!("Pod {name}"),
                format!("pod {name} fits on no node: {why}"),
            )
        });
    }
    status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| of_container(&name, container))
}

fn of_container(pod: &str, container: &ContainerStatus) -> Option<Problem> {
    let waiting = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    match waiting.and_then(|waiting| waiting.reason.as_deref()) {
        // Two reasons that alternate, with messages that do too.
        Some("ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName") => {
            Some(Problem::blocked(
                Reason::ImagePullFailed,
                format!("Pod {pod}"),
                format!(
                    "pod {pod} cannot get its image {}: it does not exist, or the registry refuses it",
                    container.image
                ),
            ))
        }
        Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            let why = waiting
                .and_then(|waiting| waiting.message.as_deref())
                .unwrap_or("its settings are wrong");
            Some(Problem::blocked(
                Reason::ContainerNotCreated,
                format!("Pod {pod}"),
                format!("pod {pod} cannot start its container: {why}"),
            ))
        }
        _ => crash(pod, container),
    }
}

/// A container that has ended before and is not ready crashes, whichever moment of the circle this is.
fn crash(pod: &str, container: &ContainerStatus) -> Option<Problem> {
    if container.ready {
        return None;
    }
    let now = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let before = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let end = now.or(before).filter(|end| end.exit_code != 0)?;
    let how = how_it_ended(end);
    Some(Problem::blocked(
        Reason::Crashing,
        format!("Pod {pod}"),
        format!("pod {pod} crashes: {how}"),
    ))
}

/// What a container says last stands in its status (`terminationMessagePolicy`).
pub fn how_it_ended(end: &ContainerStateTerminated) -> String {
    if end.reason.as_deref() == Some("OOMKilled") {
        return "it needs more memory than its limit".to_owned();
    }
    let what = match end.exit_code {
        migration::WRONG_SETTING => "it refuses its settings (exit code 2)".to_owned(),
        migration::SCHEMA_BEHIND => "the schema of its database is behind (exit code 3)".to_owned(),
        code => format!("exit code {code}"),
    };
    let lines = end.message.as_deref().unwrap_or_default().lines();
    // The sentence goes to stderr and log lines, in JSON or beginning with their time, to stdout: either may come last.
    let is_logged = |line: &str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        line.starts_with('{') || first.parse::<Timestamp>().is_ok()
    };
    let is_sentence = |line: &&str| !line.is_empty() && !is_logged(line);
    match lines.map(str::trim).rfind(is_sentence) {
        Some(last) => {
            let mut last = last.to_owned();
            last.truncate(last.floor_char_boundary(QUOTED_BYTES));
            format!("{what}: {last}")
        }
        None => format!("{what}; its log says why"),
    }
}
