//! Asks the pods of services whose releases are judged by what they answer.

use std::collections::BTreeMap;

use futures::future::{join, join_all};
use k8s_openapi::api::apps::v1::Deployment;

use crate::{
    api::{AnsweredBefore, JudgedBy, PastRelease},
    facts::{
        Facts, ServiceView,
        answers::{Answers, answers},
        http::Http,
    },
    naming::names::ServiceName,
    objects::revision,
    release::{RevisionId, Seen, Stage, State, answered_before, noted, serves},
    run::release::deployment_of,
};

/// What the pods of a service say that they have answered.
pub struct Answered {
    /// The revision that has yet to prove itself.
    revision: RevisionId,
    /// Its pods.
    answers: Option<Answers>,
    /// Those of the last good revision.
    before: Vec<AnsweredBefore>,
}

impl Answered {
    /// With this the pods of a revision are judged.
    pub fn add_to(&self, seen: Seen, revision: &RevisionId) -> Seen {
        let answers = self.answers.as_ref();
        Seen {
            answers: answers.filter(|_| self.revision == *revision).cloned(),
            before: self.before.clone(),
            ..seen
        }
    }
}

/// Asks all pods at once that have a say in a release that is under way, or that begins with what is rendered.
pub async fn ask(
    facts: &Facts,
    states: &BTreeMap<ServiceName, State>,
    rendered: &[Deployment],
    http: &Http,
) -> BTreeMap<ServiceName, Answered> {
    if facts.shop.rollout.judged_by == JudgedBy::Pods {
        return BTreeMap::new();
    }
    let asked = facts.services().filter_map(|service| {
        let name = service.name();
        let state = states.get(name)?;
        let good = state.good.as_ref()?;
        let begins = state.stage == Stage::Idle && !facts.holds.contains_key(name);
        let rendered = || deployment_of(name, rendered).and_then(revision::of_deployment);
        let new = || rendered().filter(|_| begins);
        let judged = under_way(state).cloned().or_else(new)?;
        (judged != *good).then_some(async move {
            let answered = ask_pods(&service, &state.history, judged, good, http).await;
            (service.name().clone(), answered)
        })
    });
    join_all(asked).await.into_iter().collect()
}

fn under_way(state: &State) -> Option<&RevisionId> {
    match &state.stage {
        Stage::Canary(canary) => Some(&canary.trial.revision),
        Stage::Rolling(trial) | Stage::Gate(trial) => Some(&trial.revision),
        Stage::Stopped(failure) => Some(&failure.revision),
        Stage::Idle | Stage::Returning(_) | Stage::TakenBack(_) => None,
    }
}

async fn ask_pods(
    service: &ServiceView<'_>,
    history: &[PastRelease],
    judged: RevisionId,
    good: &RevisionId,
    http: &Http,
) -> Answered {
    let port = service.definition().ports.admin;
    let pods = |revision| {
        let seen = service.seen;
        let pods = seen.pods.iter().chain(&seen.canary_pods);
        let pods = pods.map(AsRef::as_ref);
        let noted = noted(seen, history, revision);
        pods.filter(move |pod| serves(pod, revision, noted))
    };
    let own = answers(http, pods(&judged), port);
    let before = answers(http, pods(good), port);
    let (own, before) = join(own, before).await;
    Answered {
        answers: own,
        before: before.as_ref().map(answered_before).unwrap_or_default(),
        revision: judged,
    }
}
