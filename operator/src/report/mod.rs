//! From what was found and done to the status: conditions, services, events. Pure; the time is an argument.

mod cause;
mod conditions;
mod events;
mod service;
mod store;

use k8s_openapi::jiff::Timestamp;

pub use cause::Problem;
pub use events::{Notice, notices};

use crate::{
    api::{Phase, ServiceStatus, ShopStatus},
    apply::Outcome,
    catalogue::{PerService, ServiceName},
    database::DatabaseState,
    decide::Decision,
    observe::Observed,
    validate::ValidShop,
};
use conditions::{Conditions, State};

/// All that a reconcile found and did.
pub struct Findings<'a> {
    /// What is wanted.
    pub shop: &'a ValidShop,
    /// What was there.
    pub observed: &'a Observed,
    /// How far the databases are.
    pub databases: &'a PerService<DatabaseState>,
    /// What was decided.
    pub decision: &'a Decision,
    /// What came of it.
    pub outcome: &'a Outcome,
}

/// The status after a whole reconcile of generation `generation` with release `version`.
pub fn status(
    previous: Option<&ShopStatus>,
    generation: Option<i64>,
    version: &str,
    findings: &Findings<'_>,
    now: Timestamp,
) -> ShopStatus {
    let judged: Vec<(ServiceStatus, Option<Problem>)> = ServiceName::ALL
        .into_iter()
        .map(|service| service::judge(findings, service))
        .collect();
    let databases = first(
        ServiceName::ALL
            .into_iter()
            .filter_map(|service| store::database(findings, service)),
    );
    let broker = store::broker(findings);
    let running = judged
        .iter()
        .filter(|(status, _)| status.phase == Phase::Running)
        .count();

    let problems = judged.iter().filter_map(|(_, problem)| problem.clone());
    let problem = first(problems.chain(databases.clone()).chain(broker.clone()));
    let progressing = judged
        .iter()
        .any(|(status, _)| status.phase != Phase::Running && status.phase != Phase::Failed)
        || [&databases, &broker]
            .into_iter()
            .flatten()
            .any(|problem| !problem.needs_help);

    let mut conditions = Conditions::new(previous, generation, now);
    conditions.set(
        "Ready",
        match &problem {
            None => State::yes("Running", "all services run"),
            Some(problem) => State::no(problem.reason, problem.message.clone()),
        },
    );
    conditions.set(
        "Progressing",
        match (&problem, progressing) {
            (None, _) => State::no("Settled", "everything is as the Shop asks"),
            (Some(_), true) => State::yes(
                "Working",
                format!("{running} of {} services run as asked", judged.len()),
            ),
            (Some(problem), false) => State::no("Blocked", problem.message.clone()),
        },
    );
    conditions.set(
        "DatabasesReady",
        State::ready_unless(databases, "all databases take connections"),
    );
    conditions.set(
        "BrokerReady",
        State::ready_unless(broker, "the broker takes connections"),
    );

    ShopStatus {
        observed_generation: generation,
        version: match problem {
            None => Some(version.to_owned()),
            Some(_) => previous.and_then(|status| status.version.clone()),
        },
        services_ready: Some(format!("{running}/{}", judged.len())),
        conditions: conditions.done(),
        services: judged.into_iter().map(|(status, _)| status).collect(),
    }
}

/// The status when the reconcile could not even look at the services: they stay as they were last seen.
pub fn stopped(
    previous: Option<&ShopStatus>,
    generation: Option<i64>,
    problem: &Problem,
    now: Timestamp,
) -> ShopStatus {
    let mut conditions = Conditions::new(previous, generation, now);
    conditions.set("Ready", State::no(problem.reason, problem.message.clone()));
    conditions.set("Progressing", State::no("Blocked", problem.message.clone()));
    conditions.keep("DatabasesReady");
    conditions.keep("BrokerReady");
    ShopStatus {
        observed_generation: generation,
        conditions: conditions.done(),
        ..previous.cloned().unwrap_or_default()
    }
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

/// What needs help before what only needs time; otherwise the first.
fn first(problems: impl Iterator<Item = Problem>) -> Option<Problem> {
    let problems: Vec<_> = problems.collect();
    problems
        .iter()
        .find(|problem| problem.needs_help)
        .or(problems.first())
        .cloned()
}
