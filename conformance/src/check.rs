//! A check proves one line of the contract. Checks that follow each other in the life of a process are a scenario.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::document::Caller;
use crate::run::Run;
use crate::scene::Scene;

/// What a document must say for a check to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Database,
    /// The document says which schema it needs.
    Schema,
    Subscribes,
    /// It publishes or subscribes to something.
    Events,
    Publishes,
    Mail,
    Grpc,
    /// `conformance.yaml` names a call of gRPC that is for somebody.
    Call,
    /// `conformance.yaml` names a call of gRPC that can be refused.
    RefusedCall,
    /// `conformance.yaml` names a request.
    Request,
    /// The request has a body.
    Body,
    /// The request is nobody's but a known caller's.
    Login,
    IdempotencyKey,
    /// The request makes it publish something.
    RequestPublishes,
    /// `conformance.yaml` names a request or an event that makes it publish something.
    Stimulus,
}

impl Need {
    /// Why a check with this need does not apply, if it does not.
    fn missing(self, run: &Run) -> Option<&'static str> {
        let (document, request) = (&run.document, run.trial.request.as_ref());
        let call = run.trial.call.as_ref();
        let (met, reason) = match self {
            Self::Database => (document.database.is_some(), "it has no database"),
            Self::Schema => (
                document.schema.is_some(),
                "its document does not say which schema it needs",
            ),
            Self::Subscribes => (!document.subscribes.is_empty(), "it subscribes to nothing"),
            Self::Events => (
                !document.publishes.is_empty() || !document.subscribes.is_empty(),
                "it needs no broker",
            ),
            Self::Publishes => (!document.publishes.is_empty(), "it publishes nothing"),
            Self::Mail => (document.sends_mail, "it sends no mail"),
            Self::Grpc => (document.ports.grpc.is_some(), "it has no port for gRPC"),
            Self::Call => (
                call.is_some_and(|call| call.r#as != Caller::Nobody),
                "no conformance.yaml names a call of gRPC that is for somebody",
            ),
            Self::RefusedCall => (
                call.is_some_and(|call| call.r#as != Caller::Nobody || !call.wrong.is_empty()),
                "no conformance.yaml names a call of gRPC that can be refused",
            ),
            Self::RequestPublishes => (
                request.is_some_and(|r| r.publishes.is_some()),
                "no conformance.yaml names a request that makes it publish",
            ),
            Self::Request => (request.is_some(), "no conformance.yaml names a request"),
            Self::Body => (
                request.is_some_and(|r| r.body.is_some()),
                "its request has no body",
            ),
            Self::Login => (
                request.is_some_and(|r| r.r#as != Caller::Nobody),
                "its request needs no login",
            ),
            Self::IdempotencyKey => (
                request.is_some_and(|r| r.idempotency_key),
                "its request carries no Idempotency-Key",
            ),
            Self::Stimulus => (
                run.stimulus().is_some(),
                "no conformance.yaml names what makes it publish",
            ),
        };
        (!met).then_some(reason)
    }
}

type Seen<'a> = Pin<Box<dyn Future<Output = Result<String>> + Send + 'a>>;

pub(crate) struct Check {
    /// The name of the line in docs/service-contract.md.
    pub(crate) line: &'static str,
    pub(crate) expects: &'static str,
    pub(crate) needs: &'static [Need],
    /// What was seen, or what was seen in place of it.
    pub(crate) run: for<'a> fn(&'a mut Scene) -> Seen<'a>,
}

type SetUp = Pin<Box<dyn Future<Output = Result<Scene>> + Send>>;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Runs only when asked for.
    pub(crate) slow: bool,
    pub(crate) set_up: fn(Arc<Run>) -> SetUp,
    pub(crate) checks: &'static [Check],
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Ok { seen: String },
    Failed { seen: String },
    DoesNotApply { reason: &'static str },
}

#[derive(Debug, Clone)]
pub struct Outcome {
    pub line: &'static str,
    pub expects: &'static str,
    pub verdict: Verdict,
    pub took: Duration,
}

impl Outcome {
    pub fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed { .. })
    }
}

impl Scenario {
    /// Makes its checks one after the other. One that fails does not keep the next from being tried.
    pub(crate) async fn play(&self, run: Arc<Run>) -> Vec<Outcome> {
        let missing = |check: &Check| check.needs.iter().find_map(|need| need.missing(&run));
        if self.checks.iter().all(|check| missing(check).is_some()) {
            let reasons = self.checks.iter().map(|check| (check, missing(check)));
            return reasons
                .map(|(check, reason)| {
                    outcome(check, Instant::now(), none(reason.unwrap_or_default()))
                })
                .collect();
        }
        let mut scene = (self.set_up)(run.clone()).await;
        if let Err(error) = scene {
            let condition = run.backends.condition().await;
            scene = Err(anyhow!("{error:#} ({condition})"));
        }
        let mut outcomes = vec![];
        for check in self.checks {
            let started = Instant::now();
            let verdict = match (missing(check), &mut scene) {
                (Some(reason), _) => none(reason),
                (None, Err(error)) => Verdict::Failed {
                    seen: format!("it does not get that far: {error:#}"),
                },
                (None, Ok(scene)) => match (check.run)(scene).await {
                    Ok(seen) => Verdict::Ok { seen },
                    Err(error) => Verdict::Failed {
                        seen: format!("{error:#}"),
                    },
                },
            };
            outcomes.push(outcome(check, started, verdict));
        }
        outcomes
    }
}

fn none(reason: &'static str) -> Verdict {
    Verdict::DoesNotApply { reason }
}

fn outcome(check: &Check, started: Instant, verdict: Verdict) -> Outcome {
    Outcome {
        line: check.line,
        expects: check.expects,
        verdict,
        took: started.elapsed(),
    }
}
