//! Whether databases and the broker take connections.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::ResourceExt;

use super::{Findings, PATIENCE, ServiceFindings, is_overdue};
use crate::{
    facts::{
        broker::is_nearly_full,
        database::DatabaseState,
        observe::{ObservedBackend, is_serving},
        trouble::{Problem, of_pods},
    },
    naming::{labels::Part, names},
    progress::pinning::Pinned,
    reason::Reason,
};

/// Why the PostgreSQL of a service is not ready, where it has one or holds those of others. Whether role and database are made is another question: the service that waits
/// for them says so itself.
pub(super) fn database(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<Problem> {
    let view = &service.view;
    let server = view.shop.server_of(view.wanted);
    let decided = findings.decision.services.get(server)?;
    let decided = decided.database.as_ref()?;
    let name = names::database(&view.shop.name, server);
    let not_ready = || not_ready(findings, &name, &view.seen.database, &decided.image);
    let Some(state) = view.database else {
        return not_ready().filter(|_| view.wanted.hosts);
    };
    match state {
        DatabaseState::Refused { reason, message } => {
            Some(Problem::blocked(*reason, of_set(&name), message.clone()))
        }
        DatabaseState::Unreachable { message } => Some(match not_ready() {
            Some(deeper) if deeper.needs_help => deeper,
            // It has much to recover.
            Some(_) => Problem::waiting(Reason::DatabaseUnreachable, of_set(&name), message),
            None => Problem::blocked(Reason::DatabaseUnreachable, of_set(&name), message),
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
        .find(|failure| failure.part == Part::Broker)
    {
        return Some(failure.into());
    }
    not_ready(
        findings,
        &names::broker(&findings.facts.shop.name),
        &findings.facts.observed.broker,
        &findings.decision.broker_image,
    )
}

/// What is said of a broker that is ready and so full, in percent.
pub(super) fn serves(filled: Option<i32>) -> &'static str {
    if filled.is_some_and(is_nearly_full) {
        "the broker takes connections; nearly all of its room for events is taken, and without any the oldest go before they are \
         seven days old: raise broker.storage.size where they must stay"
    } else {
        "the broker takes connections"
    }
}

/// The first volume that cannot grow, among those of StatefulSets of which this holds.
pub(super) fn not_grown<'a>(
    findings: &Findings<'a>,
    is_meant: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    let volumes = findings.outcome.not_grown.iter();
    let mut meant = volumes.filter(|volume| is_meant(&volume.stateful_set));
    meant.next().map(|volume| volume.message.as_str())
}

fn not_ready(
    findings: &Findings<'_>,
    name: &str,
    observed: &ObservedBackend,
    pinned: &Pinned,
) -> Option<Problem> {
    let applied = findings
        .outcome
        .applied
        .stateful_sets
        .iter()
        .find(|set| set.name_any() == name);
    let live = applied.or(observed.stateful_set.as_ref());
    let policies = [
        going_volume(name, observed),
        live.is_none_or(|set| !is_serving(set))
            .then(|| not_serving(findings, name, observed, live.map(|set| &**set))),
        pinned
            .refused
            .as_ref()
            .map(|why| Problem::blocked(Reason::MajorVersion, of_set(name), why.as_str())),
        findings
            .outcome
            .queued
            .iter()
            .any(|queued| queued == name)
            .then(|| {
                Problem::waiting(
                    Reason::Queued,
                    of_set(name),
                    format!("{name} changes once the other databases serve"),
                )
            }),
    ];
    policies.into_iter().flatten().next()
}

fn of_set(name: &str) -> String {
    format!("StatefulSet {name}")
}

/// The claim was deleted, and goes as soon as no pod uses it.
fn going_volume(name: &str, observed: &ObservedBackend) -> Option<Problem> {
    let claim = observed.claim.as_deref()?;
    claim.metadata.deletion_timestamp.as_ref()?;
    Some(Problem::blocked(
        Reason::VolumeDeleted,
        format!("PersistentVolumeClaim {}", claim.name_any()),
        format!(
            "PersistentVolumeClaim {} is deleted and goes with its data as soon as the pod of {name} ends: save them with a dump now",
            claim.name_any()
        ),
    ))
}

fn not_serving(
    findings: &Findings<'_>,
    name: &str,
    observed: &ObservedBackend,
    live: Option<&StatefulSet>,
) -> Problem {
    let warnings = &findings.facts.observed.warnings;
    if let Some(problem) = of_pods(&observed.pods, warnings).filter(|problem| problem.needs_help) {
        return problem;
    }
    if let Some(problem) = lost_pod(findings, observed) {
        return problem;
    }
    if let Some(why) = warnings.get(name) {
        return Problem::blocked(
            Reason::PodsRefused,
            of_set(name),
            format!("StatefulSet {name} gets no pod: {why}"),
        );
    }
    let namespace = &findings.facts.shop.namespace;
    if let Some(claim) = observed.claim.as_deref().filter(|claim| is_pending(claim)) {
        let pending = format!(
            "{name} waits for its volume: PersistentVolumeClaim {claim} {class} is pending",
            claim = claim.name_any(),
            class = class_of(claim),
        );
        let object = format!("PersistentVolumeClaim {}", claim.name_any());
        return if is_overdue(claim, findings.now) {
            let look = format!("`kubectl -n {namespace} describe pvc {}`", claim.name_any());
            Problem::blocked(
                Reason::VolumePending,
                object,
                format!("{pending}; {look} says why"),
            )
        } else {
            Problem::waiting(Reason::VolumePending, object, pending)
        };
    }
    let overdue = live.is_some_and(|set| is_overdue(set, findings.now));
    if overdue && observed.pods.is_empty() {
        let look = format!("`kubectl -n {namespace} describe statefulset {name}`");
        Problem::blocked(
            Reason::PodMissing,
            of_set(name),
            format!("StatefulSet {name} gets no pod; {look} says why"),
        )
    } else {
        Problem::waiting(Reason::Starting, of_set(name), format!("{name} starts"))
    }
}

/// A pod that should have ended long ago: its node does not answer, and nobody may start another one on the same volume.
fn lost_pod(findings: &Findings<'_>, observed: &ObservedBackend) -> Option<Problem> {
    let lost = observed.pods.iter().find(|pod| {
        let ends = pod.metadata.deletion_timestamp.as_ref();
        ends.is_some_and(|ends| findings.now.duration_since(ends.0) > PATIENCE)
    })?;
    let name = lost.name_any();
    let node = lost
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref());
    Some(Problem::blocked(
        Reason::NodeLost,
        format!("Pod {name}"),
        format!(
            "pod {name} should have ended and has not: its node {} does not answer; bring the node back or, if it is gone for good, \
             delete the Node, or the pod with `kubectl -n {} delete pod {name} --force`",
            node.unwrap_or("(unknown)"),
            findings.facts.shop.namespace
        ),
    ))
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
