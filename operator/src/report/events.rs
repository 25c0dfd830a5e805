//! What is worth an event: the difference between two statuses.

use super::edits::is_rest;
use crate::{
    api::{CanaryProgress, PastRelease, Phase, ReleaseResult, ServiceStatus, ShopStatus},
    apply::Edited,
    naming::labels::Part,
    reason::Reason,
};

/// Something worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// It is bad news.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// One sentence.
    pub note: String,
    /// The service that it is about.
    pub service: String,
}

/// What happened between two statuses.
pub fn notices(before: Option<&ShopStatus>, after: &ShopStatus) -> Vec<Notice> {
    after
        .services
        .iter()
        .flat_map(|service| {
            let former = former(before, service);
            [
                started(former, service),
                ended(former, service),
                foreign(former, service),
            ]
        })
        .flatten()
        .chain(released(before, after))
        .chain(held(before, after))
        .chain(canaries(before, after))
        .collect()
}

/// What others have changed since, and stays. Where it goes and comes, it is the same that is told.
pub fn drifted(before: Option<&ShopStatus>, after: &ShopStatus) -> Vec<Notice> {
    let left = |service| left(former(before, service), service);
    after.services.iter().filter_map(left).collect()
}

fn former<'a>(
    before: Option<&'a ShopStatus>,
    service: &ServiceStatus,
) -> Option<&'a ServiceStatus> {
    let mut before = before.into_iter().flat_map(|status| &status.services);
    before.find(|former| former.name == service.name)
}

/// Releases that have ended.
fn released<'a>(
    before: Option<&'a ShopStatus>,
    after: &'a ShopStatus,
) -> impl Iterator<Item = Notice> + 'a {
    after.releases.iter().filter_map(move |release| {
        let mut known = before.into_iter().flat_map(|status| &status.releases);
        let known = known.find(|known| known.name == release.name);
        let last = release.history.first()?;
        let known = known.and_then(|known| known.history.first());
        let is_same = |known: &PastRelease| {
            known == last
                || (last.result == ReleaseResult::Stopped
                    && (known.result, &known.revision) == (last.result, &last.revision))
        };
        if known.is_some_and(is_same) {
            return None;
        }
        let (service, image) = (&release.name, &last.image);
        let cause = last.cause.as_deref().unwrap_or_default();
        let (warning, reason, note) = match last.result {
            ReleaseResult::Passed => (
                false,
                "ReleasePassed",
                format!("{service} runs {image}, which has proved itself"),
            ),
            ReleaseResult::TakenBack => (
                true,
                "ReleaseTakenBack",
                format!("{service} goes back to what ran before {image}: {cause}"),
            ),
            ReleaseResult::Stopped => (
                true,
                "ReleaseFailed",
                format!("{service} does not get on with {image}: {cause}"),
            ),
        };
        Some(Notice {
            warning,
            reason,
            note: shortened(note),
            service: service.clone(),
        })
    })
}

/// Steps of canaries: that one begins, and that one waits for somebody.
fn canaries<'a>(
    before: Option<&'a ShopStatus>,
    after: &'a ShopStatus,
) -> impl Iterator<Item = Notice> + 'a {
    after.releases.iter().filter_map(move |release| {
        let canary = release.canary.as_ref()?;
        let mut known = before.into_iter().flat_map(|status| &status.releases);
        let known = known.find(|known| known.name == release.name)?;
        let known = known
            .canary
            .as_ref()
            .filter(|_| known.revision == release.revision);
        let known = known.map(|known| (known.step, known.progress));
        let (service, step) = (&release.name, canary.step);
        let (reason, note) = match canary.progress {
            CanaryProgress::Starting if known.is_some_and(|(before, _)| before == step) => {
                return None;
            }
            CanaryProgress::Starting => (
                "CanaryStep",
                format!("step {step} of the canary of {service} begins"),
            ),
            CanaryProgress::Waiting if known == Some((step, canary.progress)) => return None,
            CanaryProgress::Waiting => (
                "CanaryWaits",
                format!(
                    "step {step} of the canary of {service} waits for `shopctl promote {service}`"
                ),
            ),
            CanaryProgress::Passing => return None,
        };
        Some(Notice {
            warning: false,
            reason,
            note,
            service: service.clone(),
        })
    })
}

/// Releases that wait, and those that do no longer.
fn held<'a>(
    before: Option<&'a ShopStatus>,
    after: &'a ShopStatus,
) -> impl Iterator<Item = Notice> + 'a {
    after.releases.iter().filter_map(move |release| {
        let mut known = before.into_iter().flat_map(|status| &status.releases);
        let known = known.find(|known| known.name == release.name)?;
        let service = &release.name;
        let (reason, note) = match (&known.held, &release.held) {
            (Some(was), Some(is)) if was.reason == is.reason => return None,
            (_, Some(is)) => ("ReleaseHeld", format!("{service}: {}", is.message)),
            (Some(was), None) => (
                "HoldEnded",
                format!("{service} waits no longer; it did: {}", was.message),
            ),
            (None, None) => return None,
        };
        Some(Notice {
            warning: false,
            reason,
            note: shortened(note),
            service: service.clone(),
        })
    })
}

fn started(former: Option<&ServiceStatus>, service: &ServiceStatus) -> Option<Notice> {
    let former = former?;
    // A host that runs nothing has none.
    let starts = former.image != service.image && !service.image.is_empty();
    starts.then(|| Notice {
        warning: false,
        reason: "RolloutStarted",
        note: format!(
            "{} goes from {} to {}",
            service.name, former.image, service.image
        ),
        service: service.name.clone(),
    })
}

fn ended(former: Option<&ServiceStatus>, service: &ServiceStatus) -> Option<Notice> {
    let changed = former
        .is_none_or(|former| former.phase != service.phase || former.message != service.message);
    let (warning, reason, note) = match service.phase {
        Phase::Running if former.is_some_and(|former| former.phase != Phase::Running) => (
            false,
            "Running",
            format!("{} runs {}", service.name, service.image),
        ),
        // Its release tells it.
        Phase::Failed if is_taken_back(service) => return None,
        Phase::Failed | Phase::Hidden if changed => (true, "Failed", service.message.clone()),
        Phase::Migrating if former.is_none_or(|former| former.phase != Phase::Migrating) => {
            (false, "MigrationStarted", service.message.clone())
        }
        Phase::Extracting if former.is_none_or(|former| former.phase != Phase::Extracting) => {
            (false, "ExtractionStarted", service.message.clone())
        }
        Phase::Merging if former.is_none_or(|former| former.phase != Phase::Merging) => {
            (false, "MergeStarted", service.message.clone())
        }
        Phase::Pending
        | Phase::Migrating
        | Phase::Extracting
        | Phase::Merging
        | Phase::Rolling
        | Phase::Held
        | Phase::Running
        | Phase::Failed
        | Phase::Leaving
        | Phase::Hidden => {
            return None;
        }
    };
    Some(Notice {
        warning,
        reason,
        note: shortened(note),
        service: service.name.clone(),
    })
}

fn is_taken_back(service: &ServiceStatus) -> bool {
    let blocked = service.blocked_by.as_ref();
    blocked.is_some_and(|blocked| blocked.reason == Reason::TakenBack.as_str())
}

/// What others have added since.
fn foreign(former: Option<&ServiceStatus>, service: &ServiceStatus) -> Option<Notice> {
    let known = former.map_or(&[][..], |former| &former.foreign);
    let what = "set by somebody else, and left as it is";
    told_of(service, "ForeignField", what, known, &service.foreign)
}

fn left(former: Option<&ServiceStatus>, service: &ServiceStatus) -> Option<Notice> {
    let known = former.map_or(&[][..], |former| &former.drift);
    let what = "changed by somebody else, and left as it is (driftPolicy: Report)";
    told_of(service, "DriftReported", what, known, &service.drift)
}

fn told_of(
    service: &ServiceStatus,
    reason: &'static str,
    what: &str,
    known: &[String],
    fields: &[String],
) -> Option<Notice> {
    let is_new = |field: &&String| !known.contains(field) && !is_rest(field);
    let new = fields.iter().filter(is_new);
    let new: Vec<_> = new.map(String::as_str).collect();
    (!new.is_empty()).then(|| Notice {
        warning: true,
        reason,
        note: shortened(format!("{what}: {}", new.join("; "))),
        service: service.name.clone(),
    })
}

/// What was set by others and had to go, because the Shop has it otherwise, or it excluded what the Shop asks for.
pub fn reverted(edited: &[Edited]) -> Vec<Notice> {
    let notices = edited.iter().flat_map(|edited| {
        let edits = &edited.edits;
        let taken_back = ("is taken back", &edits.taken_back);
        let removed = (
            "excludes what the Shop asks for, and is removed",
            &edits.removed,
        );
        let some = [taken_back, removed].into_iter();
        let some = some.filter(|(_, fields)| !fields.is_empty());
        some.map(|(what, fields)| reverted_of(edited, what, fields))
    });
    notices.collect()
}

fn reverted_of(edited: &Edited, what: &str, fields: &[String]) -> Notice {
    Notice {
        warning: true,
        reason: "DriftReverted",
        note: shortened(format!(
            "{}: what somebody else has set {what}: {}",
            edited.object,
            fields.join("; ")
        )),
        service: match &edited.part {
            Part::Service(service) => service.to_string(),
            Part::Broker => "nats".into(),
        },
    }
}

/// An event's note may have 1 kB.
fn shortened(mut note: String) -> String {
    note.truncate(note.floor_char_boundary(1000));
    note
}
