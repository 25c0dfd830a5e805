//! How far the canary of a service is.

use k8s_openapi::api::apps::v1::Deployment;

use super::{Findings, ServiceFindings, service::with_missing_pull_secret};
use crate::{
    api::{CanaryProgress, Phase},
    facts::trouble::{Problem, of_pods},
    naming::names,
    reason::Reason,
    release::{Stage, canary_of},
};

/// What is to be said of it; none where there is none.
pub(super) fn judge(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
) -> Option<(Phase, Problem)> {
    let view = &service.view;
    let name = view.name();
    let canary = canary_of(findings.releases.get(name)?)?;
    let step = view.wanted.canary.get(canary.step)?;
    let own = view.seen.deployment.as_deref();
    let others = own.and_then(|own| own.spec.as_ref()?.replicas).unwrap_or(1);
    let (share, pods) = (step.share, step.pods(others));
    let (number, steps) = (canary.step + 1, view.wanted.canary.len());
    let begin = format!("{name}: step {number} of {steps} of its canary, {share} % of its pods");
    let ready = ready(view.seen.canary.as_deref()).min(pods);
    let object = || format!("Deployment {}", names::canary(&view.shop.name, name));
    let lacking = || {
        lacking(findings, service).unwrap_or_else(|| {
            let message = format!("{begin}: {ready} of {pods} are new and ready");
            (
                Phase::Rolling,
                Problem::waiting(Reason::Canary, object(), message),
            )
        })
    };
    let (phase, reason, message) = match canary.progress {
        CanaryProgress::Starting => return Some(lacking()),
        // Promoted or not, it goes no further without them.
        CanaryProgress::Waiting if ready < pods => return Some(lacking()),
        CanaryProgress::Passing => {
            let end = step.pause.map(|pause| canary.trial.since + pause);
            let until = end
                .map(|end| format!(" until {end:.0}"))
                .unwrap_or_default();
            let message =
                format!("{begin} ({pods} beside {others}) are new and must go on well{until}");
            (Phase::Rolling, Reason::Canary, message)
        }
        CanaryProgress::Waiting => {
            let message = format!(
                "{begin} ({pods} beside {others}) are new and go on well; it waits for `shopctl promote {name}`, or `shopctl abort {name}`"
            );
            (Phase::Held, Reason::WaitsForPromotion, message)
        }
    };
    Some((phase, Problem::waiting(reason, object(), message)))
}

/// What pods lack that are to come.
fn lacking(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<(Phase, Problem)> {
    let warnings = &findings.facts.observed.warnings;
    let cause = of_pods(&service.view.seen.canary_pods, warnings)?;
    let cause = with_missing_pull_secret(findings, cause);
    let phase = match cause.needs_help {
        true => Phase::Failed,
        false => Phase::Rolling,
    };
    Some((phase, cause))
}

fn ready(canary: Option<&Deployment>) -> i32 {
    let status = canary.and_then(|canary| canary.status.as_ref());
    status.and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Why a release that is under way has no canary though the Shop asks for one.
pub(super) fn why_without<'a>(
    findings: &Findings<'a>,
    service: &ServiceFindings<'_>,
) -> Option<&'a str> {
    match &findings.releases.get(service.view.name())?.stage {
        Stage::Rolling(trial) | Stage::Gate(trial) => trial.without_canary.as_deref(),
        Stage::Idle
        | Stage::Canary(_)
        | Stage::Returning(_)
        | Stage::TakenBack(_)
        | Stage::Stopped(_) => None,
    }
}
