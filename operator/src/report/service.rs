//! How far one service is, and what holds it up.

use std::sync::Arc;

use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use super::{Findings, PATIENCE, ServiceFindings, backend, canary, edits::edited, is_overdue};
use crate::{
    api::{HoldReason, MoveStatus, Phase, ServiceStatus},
    definition::built_in::{OTLP_CERTIFICATE, OTLP_HEADERS},
    facts::{
        migration::ended_at,
        observe::{Found, Purpose, UserSecret},
        trouble::{Problem, of_pods},
    },
    model::{
        place::Place,
        validate::{Replicas, ValidService},
    },
    naming::{labels::Part, names},
    progress::{
        decide::{Migration, Renewal, Unfit, image_of},
        placement::{self, Way},
        rollout::is_complete,
        runs::running,
    },
    reason::Reason,
    release::{ShopStage, Stage},
};

/// The status of a service and, unless it runs as asked, the deepest known cause.
pub(super) fn judge(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
) -> (ServiceStatus, Option<Problem>) {
    let wanted = service.view.wanted;
    let runner = runner(service);
    let deployment = live_deployment(findings, runner);
    let (carrier, _) = service.view.carrier();
    let to_answer = live_deployment(findings, carrier);
    let way = move_status(findings, service, to_answer.as_deref());
    let (phase, problem) = match &way {
        Some(way) => moving(service, way),
        None => phase(findings, service, deployment.as_deref()),
    };
    let desired = match &deployment {
        Some(deployment) => wanted_count(runner.replicas, deployment),
        None => i32::from(!wanted.hosts),
    };
    let status = ServiceStatus {
        name: wanted.name.to_string(),
        version: runner.version.clone().unwrap_or_default(),
        image: match wanted.hosts && !service.decided.placement.apart {
            true => String::new(),
            false => deployment
                .as_deref()
                .and_then(image_of)
                .unwrap_or(&runner.image)
                .to_owned(),
        },
        phase,
        host: (runner.name != wanted.name).then(|| runner.name.to_string()),
        database: shared_database(service),
        moving: way,
        ready: deployment
            .as_ref()
            .and_then(|d| d.status.as_ref()?.ready_replicas)
            .unwrap_or(0),
        desired,
        message: problem
            .as_ref()
            .map(|problem| problem.message.clone())
            .unwrap_or_default(),
        blocked_by: None,
        foreign: edited(findings, service, |edits| &edits.added),
        drift: edited(findings, service, |edits| &edits.left),
    };
    // A running service may have a message, and yet no problem.
    let problem = problem.filter(|_| status.phase != Phase::Running);
    (status, problem)
}

fn of_service(service: &ServiceFindings<'_>) -> String {
    let view = &service.view;
    format!("Service {}", names::service(&view.shop.name, view.name()))
}

/// The service whose pods run this one now.
fn runner<'a>(service: &ServiceFindings<'a>) -> &'a ValidService {
    let view = &service.view;
    match (service.decided.placement.answers, view.host) {
        (Place::Hosted, Some((host, _))) => host,
        (Place::Hosted, None) | (Place::Apart, _) => view.wanted,
    }
}

/// The PostgreSQL that holds its database, where that is another's.
fn shared_database(service: &ServiceFindings<'_>) -> Option<String> {
    let view = &service.view;
    let server = view.shop.server_of(view.wanted);
    let is_shared = view.definition().database.is_some() && server != view.name();
    is_shared.then(|| names::database(&view.shop.name, server))
}

/// What the status is to remember of a move that goes on or was given up.
fn move_status(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
    deployment: Option<&Deployment>,
) -> Option<MoveStatus> {
    let generation = findings.facts.generation.unwrap_or_default();
    let (since, cause, given_up) = match &service.decided.placement.way {
        Way::Settled => return None,
        Way::Moving(since) => (*since, held_up_by(findings, service, deployment), false),
        Way::GivenUp(since, cause) => (*since, cause.clone(), true),
    };
    Some(MoveStatus {
        since: Time(since),
        generation,
        cause,
        given_up,
    })
}

/// What the pods that are to answer lack.
fn held_up_by(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
    deployment: Option<&Deployment>,
) -> String {
    let (_, cause) = phase(findings, service, deployment);
    cause.map_or_else(|| "all is ready".to_owned(), |cause| cause.message)
}

/// A service on its way between the host and pods of its own. The pods that answer now go on meanwhile.
fn moving(service: &ServiceFindings<'_>, way: &MoveStatus) -> (Phase, Option<Problem>) {
    let name = service.view.name();
    let cause = &way.cause;
    if way.given_up {
        let minutes = placement::DEADLINE.as_mins();
        let message = format!(
            "the move of {name} was given up after {minutes} minutes, and it runs where it was; it is tried again when the Shop changes. \
             What held it up: {cause}"
        );
        let problem = Problem::blocked(Reason::MoveGivenUp, of_service(service), message);
        return (Phase::Failed, Some(problem));
    }
    let (phase, to) = match service.view.wanted.place {
        Place::Apart => (Phase::Extracting, "pods of its own"),
        Place::Hosted => (Phase::Merging, "the pods of the host"),
    };
    let message = format!("{name} moves to {to}: {cause}");
    let problem = Problem::waiting(Reason::Moving, of_service(service), message);
    (phase, Some(problem))
}

fn live_deployment(findings: &Findings<'_>, service: &ValidService) -> Option<Arc<Deployment>> {
    let name = names::service(&findings.facts.shop.name, &service.name);
    let applied = findings
        .outcome
        .applied
        .deployments
        .iter()
        .find(|deployment| deployment.name_any() == name);
    let observed = findings.facts.observed.services.get(&service.name);
    applied
        .or(observed.and_then(|observed| observed.deployment.as_ref()))
        .cloned()
}

fn wanted_count(replicas: Replicas, deployment: &Deployment) -> i32 {
    let asked = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    match replicas {
        Replicas::Fixed(count) => count,
        Replicas::Unmanaged => asked,
        Replicas::Autoscaled { min, .. } => asked.max(min),
    }
}

fn phase(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
    deployment: Option<&Deployment>,
) -> (Phase, Option<Problem>) {
    let failed = |problem: Problem| (Phase::Failed, Some(problem));
    if let Some(failure) = findings
        .outcome
        .hindrances()
        .find(|failure| failure.part == Part::Service(service.view.name().clone()))
    {
        return held_up(Phase::Rolling, failure.into());
    }
    if let Some(problem) = missing_secret(findings, service) {
        return failed(problem);
    }
    let decided = service.decided;
    if let Some(problem) = taken_back(findings, service).filter(|_| decided.migration.is_done()) {
        return failed(problem);
    }
    // What is under way, before what waits for its end.
    if let Some((phase, told)) =
        canary::judge(findings, service).filter(|_| decided.migration.is_done())
    {
        return held_or_worse(findings, service, deployment, phase, told);
    }
    if let Some((phase, told)) = held(findings, service) {
        return held_or_worse(findings, service, deployment, phase, told);
    }
    if let Migration::Failed(how) = &decided.migration {
        return failed(migration_failed(service, how));
    }
    let name = service.view.name();
    let (carrier, _) = service.view.carrier();
    if let Some(problem) = waits_for(service) {
        return (Phase::Migrating, Some(problem));
    }
    if service.view.wanted.hosts && !decided.placement.apart {
        return (Phase::Running, Some(holds_databases(service)));
    }
    match &decided.migration {
        Migration::Waiting => pending(findings, service),
        Migration::After(other) => (
            Phase::Migrating,
            Some(Problem::waiting(
                Reason::Migrating,
                format!("Job {other}"),
                format!("{name} waits for migration Job {other} of another image to end"),
            )),
        ),
        Migration::Superseded(renewal) => (Phase::Migrating, Some(renewed(service, *renewal))),
        Migration::Running => migrating(findings, service),
        Migration::Done | Migration::Unneeded | Migration::Kept
            if deployment.is_some_and(|d| is_complete(d, carrier.replicas)) =>
        {
            match stopped(findings, service) {
                Some(problem) => failed(problem),
                None => (Phase::Running, no_metrics(findings, service)),
            }
        }
        Migration::Done | Migration::Unneeded | Migration::Kept | Migration::Failed(_) => {
            rollout(findings, service, deployment)
        }
    }
}

/// What runs is not what the Shop asks for: that failed.
fn taken_back(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<Problem> {
    let name = service.view.name();
    let state = findings.releases.get(name)?;
    let held = state.held.as_ref().map(|held| held.reason);
    let is_asked_for_more = state.asked.as_deref() != Some(&service.view.wanted.asked);
    match (held, &state.stage) {
        // The whole shop went back, and says why.
        (Some(HoldReason::TakenBack), _) => return None,
        // Something else, or another try, is asked for already, and says for what it waits.
        (Some(HoldReason::Window), Stage::TakenBack(_)) => return None,
        (Some(HoldReason::Paused), Stage::TakenBack(_)) if is_asked_for_more => return None,
        (Some(_) | None, _) => {}
    }
    let (failure, how_far) = match &state.stage {
        Stage::Returning(failure) => (failure, "goes back to what ran before"),
        Stage::TakenBack(failure) => (failure, "runs again what ran before"),
        Stage::Idle | Stage::Canary(_) | Stage::Rolling(_) | Stage::Gate(_) | Stage::Stopped(_) => {
            return None;
        }
    };
    let image = state.history.first().map(|past| past.image.as_str());
    let image = image.unwrap_or(&service.view.wanted.image);
    // Why the others did not go back too.
    let cause = match &findings.release.stage {
        ShopStage::Stopped(of_shop) if of_shop.service == *name => &of_shop.cause,
        ShopStage::Done
        | ShopStage::Rolling
        | ShopStage::Returning(_)
        | ShopStage::TakenBack(_)
        | ShopStage::Stopped(_) => &failure.cause,
    };
    let message = format!(
        "{name} {how_far}, because its new revision of {image} failed: {cause}; it is tried again when the Shop asks for something else, or with \
         `shopctl retry {name}`"
    );
    Some(Problem::blocked(
        Reason::TakenBack,
        of_deployment(service),
        message,
    ))
}

/// What the Shop asks for runs, and failed: its pods are ready, and that is not enough.
fn stopped(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<Problem> {
    let name = service.view.name();
    let failure = match &findings.releases.get(name)?.stage {
        Stage::Stopped(failure) => failure,
        Stage::Idle
        | Stage::Canary(_)
        | Stage::Rolling(_)
        | Stage::Gate(_)
        | Stage::Returning(_)
        | Stage::TakenBack(_) => return None,
    };
    let message = format!("{name} runs a revision that failed: {}", failure.cause);
    Some(Problem::blocked(
        Reason::ReleaseStopped,
        of_deployment(service),
        message,
    ))
}

fn migration_failed(service: &ServiceFindings<'_>, how: &str) -> Problem {
    let (job, name) = (job_name(service), service.view.name());
    let live = service.view.seen.deployment.as_deref();
    let runs = live.and_then(running).map(|runs| runs.image);
    let waits = runs.filter(|runs| *runs != service.view.wanted.image);
    let waits = waits
        .map(|runs| format!("; settings wait until then, too: name {runs} to have them at once"));
    let message = format!(
        "migration Job {job} of {name} failed: {how}; after mending, delete the Job to try again or name another image{}",
        waits.unwrap_or_default()
    );
    Problem::blocked(Reason::MigrationFailed, format!("Job {job}"), message)
}

/// It keeps what it runs, and the Shop asks for something else. What the operator alone would change is told elsewhere.
fn held(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<(Phase, Problem)> {
    let name = service.view.name();
    let held = findings.releases.get(name)?.held.as_ref()?;
    let message = format!("{name}: {}", held.message);
    let object = of_deployment(service);
    let (phase, problem) = match held.reason {
        HoldReason::Paused | HoldReason::Window => {
            (Phase::Held, Problem::waiting(Reason::Held, object, message))
        }
        HoldReason::Wave => (
            Phase::Rolling,
            Problem::waiting(Reason::WaitsForWave, object, message),
        ),
        HoldReason::TakenBack => (
            Phase::Failed,
            Problem::blocked(Reason::TakenBack, object, message),
        ),
        HoldReason::OperatorUpdate => return None,
    };
    Some((phase, problem))
}

/// What keeps the pods that run from serving comes before what waits.
fn held_or_worse(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
    deployment: Option<&Deployment>,
    phase: Phase,
    told: Problem,
) -> (Phase, Option<Problem>) {
    if deployment.is_some_and(|live| is_complete(live, service.view.wanted.replicas)) {
        return (phase, Some(told));
    }
    match rollout(findings, service, deployment) {
        (worse, Some(problem)) if problem.needs_help => {
            let message = format!("{}; beside that, {}", problem.message, told.message);
            (worse, Some(Problem { message, ..problem }))
        }
        (_, Some(_) | None) => (phase, Some(told)),
    }
}

fn of_deployment(service: &ServiceFindings<'_>) -> String {
    let view = &service.view;
    format!(
        "Deployment {}",
        names::service(&view.shop.name, view.name())
    )
}

/// The host runs a new image once all that it runs may.
fn waits_for(service: &ServiceFindings<'_>) -> Option<Problem> {
    let (guest, why) = service.decided.waits_for.as_ref()?;
    let host = service.view.name();
    let message = match why {
        Unfit::NotMigrated => format!("{host} waits for the migration of {guest}"),
        Unfit::OfAnotherVersion => format!(
            "{host} keeps its image until {guest}, which moves with another version, has pods of its own"
        ),
    };
    let object = of_service(service);
    Some(Problem::waiting(Reason::Migrating, object, message))
}

/// A host without guests is there for their databases alone.
fn holds_databases(host: &ServiceFindings<'_>) -> Problem {
    let name = host.view.name();
    let message =
        format!("{name} runs nothing; its PostgreSQL holds databases that were made there");
    Problem::waiting(Reason::HoldsDatabases, of_service(host), message)
}

/// In this phase, unless it cannot go on without help.
fn held_up(phase: Phase, problem: Problem) -> (Phase, Option<Problem>) {
    let phase = if problem.needs_help {
        Phase::Failed
    } else {
        phase
    };
    (phase, Some(problem))
}

fn job_name(service: &ServiceFindings<'_>) -> String {
    let view = &service.view;
    let (carrier, _) = view.carrier();
    names::migration(&view.shop.name, view.name(), &carrier.image)
}

fn renewed(service: &ServiceFindings<'_>, renewal: Renewal) -> Problem {
    let view = &service.view;
    let database = names::database(&view.shop.name, view.shop.server_of(view.wanted));
    let why = match renewal {
        Renewal::Deleted => "its Job is being deleted".to_owned(),
        Renewal::NewVolume => format!("the volume of {database} was replaced"),
        Renewal::SchemaBehind => format!("a pod found the schema of {database} behind"),
        Renewal::Retry => "it failed, and the Shop or its database has changed since".to_owned(),
    };
    Problem::waiting(
        Reason::MigratingAgain,
        format!("Job {}", job_name(service)),
        format!("{} is migrated again: {why}", service.view.name()),
    )
}

/// Pods run as asked, but the autoscaler cannot count: it leaves the number of pods where it is. That is worth a word and does not
/// make the service unready.
fn no_metrics(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<Problem> {
    let autoscaler = service.view.seen.autoscaler.as_ref()?;
    let Replicas::Autoscaled { .. } = service.view.wanted.replicas else {
        return None;
    };
    let conditions = autoscaler.status.as_ref()?.conditions.iter().flatten();
    let inactive = conditions.into_iter().find(|condition| {
        condition.type_ == "ScalingActive"
            && condition.status == "False"
            // By design at zero pods.
            && condition.reason.as_deref() != Some("ScalingDisabled")
            && condition.last_transition_time.as_ref().is_none_or(|since| {
                findings.now.duration_since(since.0) > PATIENCE
            })
    })?;
    let why = inactive.message.as_deref().unwrap_or("it gives no reason");
    Some(Problem::waiting(
        Reason::ScalingInactive,
        format!("HorizontalPodAutoscaler {}", autoscaler.name_any()),
        format!(
            "HorizontalPodAutoscaler {} does not scale: {why}",
            autoscaler.name_any()
        ),
    ))
}

fn pending(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> (Phase, Option<Problem>) {
    let problem = backend::database(findings, service).unwrap_or_else(|| {
        Problem::waiting(
            Reason::DatabaseStarting,
            of_service(service),
            format!("{} waits for its database", service.view.name()),
        )
    });
    held_up(Phase::Pending, problem)
}

fn migrating(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> (Phase, Option<Problem>) {
    let observed = service.view.seen;
    let (_, carrier) = service.view.carrier();
    let stuck =
        |pods| of_pods(pods, &findings.facts.observed.warnings).filter(|cause| cause.needs_help);
    if let Some(cause) = stuck(&observed.migration_pods).or_else(|| stuck(&carrier.pods)) {
        return held_up(Phase::Migrating, with_missing_pull_secret(findings, cause));
    }
    let job = job_name(service);
    let job_of_now = observed.migration.as_deref();
    let end = job_of_now.and_then(|job| ended_at(job, service.view.shop, service.view.wanted));
    let until = end.map(|end| format!(", until {end:.0} at most"));
    let no_return = no_return(findings, service)
        .map(|why| format!("; once it is done, what proved itself last cannot come back: {why}"));
    let (until, no_return) = (until.unwrap_or_default(), no_return.unwrap_or_default());
    let without_pods = observed
        .migration
        .as_ref()
        .filter(|job| observed.migration_pods.is_empty() && is_overdue(&***job, findings.now));
    held_up(
        Phase::Migrating,
        match without_pods {
            Some(_) => Problem::blocked(
                Reason::PodMissing,
                format!("Job {job}"),
                format!(
                    "migration Job {job} gets no pod; `kubectl -n {} describe job {job}` says why",
                    findings.facts.shop.namespace
                ),
            ),
            None => Problem::waiting(
                Reason::Migrating,
                format!("Job {job}"),
                format!("migration Job {job} runs{until}{no_return}"),
            ),
        },
    )
}

/// Why what proved itself last will not run on the schema that the migration brings, where that is known before.
fn no_return(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<String> {
    let state = findings.releases.get(service.view.name())?;
    state.will_be_left_behind(service.view.wanted.schema()?.oldest)
}

/// The first of the user's Secrets that this service reads and that it does not get.
fn missing_secret(findings: &Findings<'_>, service: &ServiceFindings<'_>) -> Option<Problem> {
    let mut secrets = findings.facts.observed.user_secrets.iter();
    secrets.find_map(|secret| missing(secret).filter(|_| reads(service, secret.purpose)))
}

/// Whether the pods of a service read a Secret for this: what the Shop has in its place for one service that one reads.
fn reads(service: &ServiceFindings<'_>, purpose: Purpose) -> bool {
    let (carrier, _) = service.view.carrier();
    let has_own = |name: &str| carrier.env.iter().any(|variable| variable.name == name);
    match purpose {
        Purpose::Mail => service.view.definition().sends_mail,
        // The node does, and says so of its pods.
        Purpose::Registry => false,
        Purpose::OtlpHeaders => !has_own(OTLP_HEADERS),
        Purpose::OtlpCa => !has_own(OTLP_CERTIFICATE),
    }
}

fn missing(secret: &UserSecret) -> Option<Problem> {
    let object = format!("Secret {}", secret.name);
    let (reason, what) = match &secret.found {
        Found::Usable(_) => return None,
        Found::Incomplete(key) => (Reason::SecretIncomplete, format!("has no key `{key}`")),
        Found::Nothing => (Reason::SecretMissing, "does not exist".to_owned()),
        Found::Refused(why) => {
            return Some(Problem::blocked(Reason::SecretRefused, object, why.clone()));
        }
    };
    let message = format!("{object}, named by {}, {what}", secret.purpose.field());
    Some(Problem::blocked(reason, object, message))
}

fn rollout(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
    deployment: Option<&Deployment>,
) -> (Phase, Option<Problem>) {
    let (carrier, seen) = service.view.carrier();
    let name = names::service(&service.view.shop.name, &carrier.name);
    let object = format!("Deployment {name}");
    let Some(deployment) = deployment else {
        return (
            Phase::Rolling,
            Some(Problem::waiting(
                Reason::Rolling,
                object,
                format!("Deployment {name} is being made"),
            )),
        );
    };
    let desired = wanted_count(carrier.replicas, deployment);
    if let Some(cause) = of_pods(&seen.pods, &findings.facts.observed.warnings) {
        let cause = with_missing_pull_secret(findings, cause);
        return held_up(Phase::Rolling, cause);
    }
    if let Some(problem) = stuck(deployment, &name) {
        return (Phase::Failed, Some(problem));
    }
    let status = deployment.status.clone().unwrap_or_default();
    let (new, all) = (
        status.updated_replicas.unwrap_or(0),
        status.replicas.unwrap_or(0),
    );
    // Old pods that are ready say nothing about the new ones.
    let ready = (status.ready_replicas.unwrap_or(0) - (all - new)).clamp(0, new);
    let message = if status.observed_generation < deployment.metadata.generation {
        format!("Deployment {name} is about to roll")
    } else {
        format!("Deployment {name} rolls: {ready} of {desired} new pods are ready")
    };
    let message = match canary::why_without(findings, service) {
        Some(why) => format!("{message}; without a canary: {why}"),
        None => message,
    };
    let problem = Problem::waiting(Reason::Rolling, object, message);
    (Phase::Rolling, Some(problem))
}

/// What the Deployment itself says: a quota, a refused pod, a deadline.
fn stuck(deployment: &Deployment, name: &str) -> Option<Problem> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let find = |wanted: &dyn Fn(&&DeploymentCondition) -> bool| {
        conditions.iter().find(|condition| wanted(condition))
    };
    if let Some(refused) = find(&|c| c.type_ == "ReplicaFailure" && c.status == "True") {
        let why = refused.message.as_deref().unwrap_or("its pods are refused");
        return Some(Problem::blocked(
            Reason::PodsRefused,
            format!("Deployment {name}"),
            format!("Deployment {name} gets no pods: {why}"),
        ));
    }
    find(&|c| c.type_ == "Progressing" && c.reason.as_deref() == Some("ProgressDeadlineExceeded"))
        .map(|_| {
            Problem::blocked(
                Reason::RolloutStuck,
                format!("Deployment {name}"),
                format!("Deployment {name} gets no new pod ready"),
            )
        })
}

/// A pull that fails while a login is missing fails most likely for want of the login.
pub(super) fn with_missing_pull_secret(findings: &Findings<'_>, mut cause: Problem) -> Problem {
    if cause.reason == Reason::ImagePullFailed {
        let missing = findings.facts.observed.user_secrets.iter().find(|secret| {
            secret.found == Found::Nothing
                && findings.facts.shop.pull_secrets.contains(&secret.name)
        });
        if let Some(secret) = missing {
            cause.message += &format!(
                "; Secret {}, named by {}, does not exist",
                secret.name,
                secret.purpose.field()
            );
        }
    }
    cause
}
