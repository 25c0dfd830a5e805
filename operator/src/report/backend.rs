//! Whether databases and the broker take connections.

use k8s_openapi::api::{apps::v1::StatefulSetStatus, core::v1::PersistentVolumeClaim};
use kube::ResourceExt;

use super::{
    Findings,
    cause::{Problem, of_pods},
    is_overdue,
};
use crate::{catalogue::ServiceName, database::DatabaseState, names, observe::ObservedBackend};

/// Why a service's database is not ready. Whether role and database are made is another question: the service that waits
/// for them says so itself.
pub(super) fn database(findings: &Findings<'_>, service: ServiceName) -> Option<Problem> {
    let name = names::database(&findings.shop.name, service);
    let not_ready = || {
        not_ready(
            findings,
            &name,
            &findings.observed.services[service].database,
        )
    };
    match &findings.databases[service] {
        DatabaseState::Refused { reason, message } => {
            Some(Problem::blocked(reason, message.clone()))
        }
        DatabaseState::Unreachable { message } => Some(match not_ready() {
            Some(deeper) if deeper.needs_help => deeper,
            // It has much to recover.
            Some(_) => Problem::waiting("DatabaseUnreachable", message),
            None => Problem::blocked("DatabaseUnreachable", message),
        }),
        DatabaseState::Starting | DatabaseState::Connecting | DatabaseState::Prepared => {
            not_ready()
        }
    }
}

/// Why the broker is not ready.
pub(super) fn broker(findings: &Findings<'_>) -> Option<Problem> {
    if let Some(failure) = findings
        .outcome
        .failures
        .iter()
        .find(|failure| failure.service.is_none())
    {
        return Some(failure.into());
    }
    not_ready(
        findings,
        &names::broker(&findings.shop.name),
        &findings.observed.broker,
    )
}

fn not_ready(findings: &Findings<'_>, name: &str, observed: &ObservedBackend) -> Option<Problem> {
    let applied = findings
        .outcome
        .applied
        .stateful_sets
        .iter()
        .find(|set| set.name_any() == name);
    let live = applied.or(observed.stateful_set.as_ref());
    let ready = live
        .and_then(|set| Some((set, set.status.as_ref()?)))
        .is_some_and(|(set, status)| {
            status.observed_generation >= set.metadata.generation
                && status.ready_replicas.unwrap_or(0) > 0
                && is_rolled(status)
        });
    if ready {
        return None;
    }
    if let Some(problem) = of_pods(&observed.pods).filter(|problem| problem.needs_help) {
        return Some(problem);
    }
    let namespace = &findings.shop.namespace;
    if let Some(claim) = observed.claim.as_deref().filter(|claim| is_pending(claim)) {
        let pending = format!(
            "{name} waits for its volume: PersistentVolumeClaim {claim} {class} is pending",
            claim = claim.name_any(),
            class = class_of(claim),
        );
        return Some(if is_overdue(claim, findings.now) {
            let look = format!("`kubectl -n {namespace} describe pvc {}`", claim.name_any());
            Problem::blocked("VolumePending", format!("{pending}; {look} says why"))
        } else {
            Problem::waiting("VolumePending", pending)
        });
    }
    let overdue = live.is_some_and(|set| is_overdue(&**set, findings.now));
    Some(if overdue && observed.pods.is_empty() {
        let look = format!("`kubectl -n {namespace} describe statefulset {name}`");
        Problem::blocked(
            "PodMissing",
            format!("StatefulSet {name} gets no pod; {look} says why"),
        )
    } else {
        Problem::waiting("Starting", format!("{name} starts"))
    })
}

fn is_pending(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
    phase == Some("Pending")
}

fn class_of(claim: &PersistentVolumeClaim) -> String {
    let class = claim
        .spec
        .as_ref()
        .and_then(|s| s.storage_class_name.as_ref());
    class.map_or_else(
        || "of no storage class (the cluster has no default)".into(),
        |class| format!("of storage class {class}"),
    )
}

/// The StatefulSet has nothing to roll; a status without revisions says nothing about it.
fn is_rolled(status: &StatefulSetStatus) -> bool {
    match (&status.current_revision, &status.update_revision) {
        (Some(current), Some(update)) => current == update,
        (None, _) | (_, None) => true,
    }
}
