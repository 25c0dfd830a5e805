//! From what was found and done to the status: conditions, services, events. Pure; the time is an argument.

mod backend;
mod canary;
mod conditions;
mod edits;
mod events;
mod left;
mod service;
pub mod statuses;

use std::collections::BTreeMap;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

pub use events::{Notice, drifted, notices, reverted};

use crate::{
    api::{BlockedBy, BrokerStatus, HoldReason, Phase, ReleaseStatus, ServiceStatus, ShopStatus},
    apply::Outcome,
    facts::{Facts, ServiceView, monitors::Monitoring, trouble::Problem},
    metrics::ShopFigures,
    naming::names::{self, ServiceName},
    progress::decide::{Decision, ServiceDecision},
    reason::Reason,
    release::{ShopRelease, State},
};
use conditions::{Conditions, Says};

/// The condition that is there while only the operator makes something else of the Shop.
const UPDATE_AVAILABLE: &str = "UpdateAvailable";
/// The condition that is there while something on the Shop has no effect.
const IGNORED: &str = "Ignored";
/// The condition that is there while overrides take protection away.
const WEAKENED: &str = "Weakened";
/// The condition that is there while nobody is led to the metrics though the Shop asks for it.
const UNMONITORED: &str = "Unmonitored";

/// What makes pods and volumes takes seconds; what it has not done for this long it cannot do.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// All that a reconcile found and did.
pub struct Findings<'a> {
    /// What was known.
    pub facts: &'a Facts,
    /// What was decided.
    pub decision: &'a Decision,
    /// How far the release of each service is.
    pub releases: &'a BTreeMap<ServiceName, State>,
    /// How far that of the shop is.
    pub release: &'a ShopRelease,
    /// What on the Shop has no effect.
    pub ignored: &'a [String],
    /// What pods and connections have less of protection.
    pub weakened: &'a [String],
    /// What came of it.
    pub outcome: &'a Outcome,
    /// When all that was.
    pub now: Timestamp,
}

/// A service with what was decided for it.
#[derive(Clone, Copy)]
struct ServiceFindings<'a> {
    view: ServiceView<'a>,
    decided: &'a ServiceDecision,
}

impl<'a> Findings<'a> {
    fn services(&self) -> impl Iterator<Item = ServiceFindings<'a>> {
        let decided = &self.decision.services;
        self.facts.services().filter_map(|view| {
            let decided = decided.get(view.name())?;
            Some(ServiceFindings { view, decided })
        })
    }
}

/// The status after a whole reconcile of generation `generation` with release `version`.
pub fn status(
    previous: Option<&ShopStatus>,
    generation: Option<i64>,
    version: &str,
    findings: &Findings<'_>,
) -> ShopStatus {
    let judged = findings
        .services()
        .map(|service| service::judge(findings, &service));
    let judged = judged.chain(left::departures(findings, previous));
    let judged = judged.map(|(status, problem)| {
        let blocked_by = blocked_by(previous, &status.name, problem.as_ref(), findings.now);
        let status = ServiceStatus {
            blocked_by,
            ..status
        };
        (status, problem)
    });
    let judged: Vec<_> = judged.collect();
    let databases = findings.services();
    let databases =
        most_urgent(databases.filter_map(|service| backend::database(findings, &service)));
    let broker = backend::broker(findings);
    let running = judged
        .iter()
        .filter(|(status, _)| status.phase == Phase::Running)
        .count();

    let leaving = |(status, _): &&(ServiceStatus, _)| status.phase == Phase::Leaving;
    let wanted = judged.len() - judged.iter().filter(leaving).count();

    let problems = judged.iter().filter_map(|(_, problem)| problem.clone());
    let others = [&databases, &broker].into_iter().flatten().cloned();
    let problem = most_urgent(problems.chain(others).chain(left::refused(findings)));
    let progressing = judged.iter().any(|(status, _)| is_under_way(status.phase))
        || [&databases, &broker]
            .into_iter()
            .flatten()
            .any(|problem| !problem.needs_help);

    let told = previous.and_then(|status| status.broker.as_ref());
    let told = told.map(|broker| broker.filled_percent);
    let filled = findings.facts.fill.map(|fill| fill.in_tens(told)).or(told);

    let mut conditions = Conditions::new(previous, generation, findings.now);
    conditions.set(
        "Ready",
        match &problem {
            None => Says::yes("Running", "all services run"),
            Some(problem) => Says::no(problem.reason.as_str(), problem.message.clone()),
        },
    );
    conditions.set(
        "Progressing",
        match (&problem, progressing) {
            (None, _) => Says::no("Settled", "everything is as the Shop asks"),
            (Some(_), true) => Says::yes(
                "Working",
                format!("{running} of {wanted} services run as asked"),
            ),
            (Some(problem), false) => Says::no("Blocked", problem.message.clone()),
        },
    );
    conditions.set(
        "DatabasesReady",
        Says::ready_unless(
            databases,
            backend::not_grown(findings, |set| {
                set != names::broker(&findings.facts.shop.name)
            }),
            "all databases take connections",
        ),
    );
    conditions.set(
        "BrokerReady",
        Says::ready_unless(
            broker,
            backend::not_grown(findings, |set| {
                set == names::broker(&findings.facts.shop.name)
            }),
            backend::serves(filled),
        ),
    );

    if let Some(what) = update_available(findings.releases) {
        conditions.set(UPDATE_AVAILABLE, Says::yes("OperatorUpdate", what));
    }
    if !findings.ignored.is_empty() {
        let what = findings.ignored.join("; ");
        conditions.set(IGNORED, Says::yes("NoEffect", what));
    }
    if !findings.weakened.is_empty() {
        let what = findings.weakened.join("; ");
        conditions.set(WEAKENED, Says::yes("Overrides", what));
    }
    if let Some(says) = unmonitored(findings) {
        conditions.set(UNMONITORED, says);
    }

    ShopStatus {
        observed_generation: generation,
        version: match problem {
            None => Some(version.to_owned()),
            Some(_) => previous.and_then(|status| status.version.clone()),
        },
        services_ready: Some(format!("{running}/{wanted}")),
        conditions: conditions.done(),
        broker: filled.map(|filled_percent| BrokerStatus { filled_percent }),
        services_generation: generation,
        services: judged.into_iter().map(|(status, _)| status).collect(),
        release: Some(findings.release.to_status()),
        releases: releases(findings.releases),
    }
}

/// Why nobody is led to the metrics, or what of monitors was refused. That makes no service unready.
fn unmonitored(findings: &Findings<'_>) -> Option<Says> {
    let lacks = match Monitoring::of(&findings.facts.shop, findings.facts.observed.monitors) {
        Monitoring::Lacking(why) | Monitoring::Useless(why) => Some(why),
        Monitoring::Nothing | Monitoring::Pods | Monitoring::Services => None,
    };
    let failures = findings.outcome.failures.iter();
    let refused = failures.filter(|failure| failure.is_of_monitor());
    let refused: Vec<Problem> = refused.map(Into::into).collect();
    let reason = match (&lacks, refused.first()) {
        (Some(_), _) => "NoMonitor",
        (None, Some(first)) => first.reason.as_str(),
        (None, None) => return None,
    };
    let refused = refused.into_iter().map(|problem| problem.message);
    let what: Vec<_> = lacks.into_iter().chain(refused).collect();
    Some(Says::yes(reason, what.join("; ")))
}

/// What the operator alone would change, by service.
fn update_available(states: &BTreeMap<ServiceName, State>) -> Option<String> {
    let held = states.iter().filter_map(|(name, state)| {
        let held = state.held.as_ref()?;
        let is_update = held.reason == HoldReason::OperatorUpdate;
        is_update.then(|| format!("{name}: {}", held.message))
    });
    let held: Vec<_> = held.collect();
    (!held.is_empty()).then(|| held.join("; "))
}

/// As a status tells them.
pub fn releases(states: &BTreeMap<ServiceName, State>) -> Vec<ReleaseStatus> {
    let states = states.iter();
    states
        .map(|(service, state)| state.to_status(service.as_str()))
        .collect()
}

/// The status when the reconcile could not even look at the services, or broke off: they stay as they were last seen.
pub fn stopped(
    previous: Option<&ShopStatus>,
    generation: Option<i64>,
    problem: &Problem,
    now: Timestamp,
) -> ShopStatus {
    let mut conditions = Conditions::new(previous, generation, now);
    conditions.set(
        "Ready",
        Says::no(problem.reason.as_str(), problem.message.clone()),
    );
    conditions.set(
        "Progressing",
        if problem.needs_help {
            Says::no("Blocked", problem.message.clone())
        } else {
            Says::yes("Working", problem.message.clone())
        },
    );
    conditions.keep("DatabasesReady");
    conditions.keep("BrokerReady");
    for type_ in [UPDATE_AVAILABLE, IGNORED, WEAKENED, UNMONITORED] {
        if previous.is_some_and(|status| condition(status, type_).is_some()) {
            conditions.keep(type_);
        }
    }
    ShopStatus {
        observed_generation: generation,
        conditions: conditions.done(),
        ..previous.cloned().unwrap_or_default()
    }
}

/// What of this problem a status tells for tools and people. As long as the reason is the same one, it is since the same moment: pods
/// come and go while it lasts.
fn blocked_by(
    previous: Option<&ShopStatus>,
    service: &str,
    problem: Option<&Problem>,
    now: Timestamp,
) -> Option<BlockedBy> {
    let problem = problem.filter(|problem| problem.needs_help)?;
    let reason = problem.reason.as_str();
    let mut services = previous.into_iter().flat_map(|status| &status.services);
    let before = services.find(|status| status.name == service);
    let before = before.and_then(|status| status.blocked_by.as_ref());
    let since = before
        .filter(|before| before.reason == reason)
        .map(|before| before.since.clone());
    Some(BlockedBy {
        reason: reason.into(),
        object: problem.object.clone(),
        since: since.unwrap_or(Time(now)),
        next_step: problem.reason.next_step().into(),
    })
}

/// What of a status is in the metrics.
pub fn figures(status: &ShopStatus) -> ShopFigures {
    let blocked = status.services.iter().filter_map(|service| {
        let by = service.blocked_by.as_ref()?;
        Some((service.name.clone(), by.reason.clone()))
    });
    let broker = status.broker.as_ref();
    let ready = condition(status, "Ready");
    // A database that is to change serves until it is its turn, or for as long as the change is refused.
    let still = [Reason::Queued, Reason::MajorVersion].map(Reason::as_str);
    let serves = |type_| {
        let condition = condition(status, type_);
        condition.is_some_and(|c| c.status == "True" || still.contains(&c.reason.as_str()))
    };
    let has_pods = |service: &ServiceStatus| service.ready > 0 || service.desired == 0;
    ShopFigures {
        ready: is_ready(status),
        serving: serves("DatabasesReady")
            && serves("BrokerReady")
            && status.services.iter().all(has_pods),
        reason: ready.map(|ready| ready.reason.clone()).unwrap_or_default(),
        broker_filled: broker.map(|broker| f64::from(broker.filled_percent) / 100.0),
        blocked: blocked.collect(),
    }
}

/// Everything runs as the Shop asks.
pub fn is_ready(status: &ShopStatus) -> bool {
    condition(status, "Ready").is_some_and(|ready| ready.status == "True")
}

fn condition<'a>(status: &'a ShopStatus, type_: &str) -> Option<&'a Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == type_)
}

/// Two statuses say the same, whatever the times in them.
pub fn same(a: &ShopStatus, b: &ShopStatus) -> bool {
    let timeless = |status: &ShopStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
        }
        status
    };
    timeless(a) == timeless(b)
}

/// The object has been there for longer than the controllers of Kubernetes need for it.
fn is_overdue(object: &impl ResourceExt, now: Timestamp) -> bool {
    object
        .creation_timestamp()
        .is_some_and(|made| now.duration_since(made.0) > PATIENCE)
}

/// Time alone brings it on.
fn is_under_way(phase: Phase) -> bool {
    match phase {
        Phase::Pending | Phase::Migrating | Phase::Extracting | Phase::Merging | Phase::Rolling => {
            true
        }
        Phase::Held | Phase::Running | Phase::Failed | Phase::Leaving | Phase::Hidden => false,
    }
}

/// What needs help before what only needs time; otherwise the first.
fn most_urgent(problems: impl Iterator<Item = Problem>) -> Option<Problem> {
    let problems: Vec<_> = problems.collect();
    problems
        .iter()
        .find(|problem| problem.needs_help)
        .or(problems.first())
        .cloned()
}
