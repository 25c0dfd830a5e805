//! What the checks of a scenario share: a stage, the service on it, and what earlier checks have noted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::document::Request;
use crate::events::{Published, addresses, ids, new_trace};
use crate::run::Run;
use crate::service::{Service, answer};
use crate::stage::Stage;
use crate::trial::Words;
use crate::wait::until;

/// How long an event may take from its publication to its effect.
pub(crate) const EFFECT: Duration = Duration::from_secs(15);

pub(crate) struct Scene {
    pub(crate) run: Arc<Run>,
    pub(crate) stage: Stage,
    pub(crate) service: Service,
    pub(crate) started: Instant,
    /// An event that was applied.
    pub(crate) event: Option<Value>,
    /// A request that was answered while the broker was away.
    pub(crate) words: Option<Words>,
    pub(crate) stop: Option<crate::checks::stop::Stop>,
}

/// What a service has published, the trace that was given to it, and what made it publish.
pub(crate) struct Made {
    pub(crate) event: Published,
    pub(crate) trace: String,
    pub(crate) cause: Cause,
}

/// What makes a service publish, and which kind of event.
pub(crate) enum Stimulus<'a> {
    Request { kind: &'a str },
    Event { kind: &'a str },
}

/// What has made a service publish.
pub(crate) enum Cause {
    Words(Words),
    Event(Value),
}

impl Cause {
    /// Whether an event came of it: it has an id in it that was new.
    pub(crate) fn is_of(&self, event: &Published) -> bool {
        match self {
            Self::Words(words) => words.are_in(&event.payload),
            Self::Event(cause) => ids(&cause["data"])
                .iter()
                .any(|id| event.payload.contains(id)),
        }
    }
}

impl Run {
    pub(crate) fn stimulus(&self) -> Option<Stimulus<'_>> {
        let (request, event) = (self.trial.request.as_ref(), self.trial.event.as_ref());
        let of_request = request.and_then(|request| request.publishes.as_deref());
        let of_event = event.and_then(|event| event.publishes.as_deref());
        match (of_request, of_event) {
            (Some(kind), _) => Some(Stimulus::Request { kind }),
            (None, Some(kind)) => Some(Stimulus::Event { kind }),
            (None, None) => None,
        }
    }

    /// The kind of event that is used where any would do.
    pub(crate) fn event_kind(&self) -> Option<&str> {
        let named = self.trial.event.as_ref().map(|event| &event.kind);
        let first = || self.document.subscribes.first();
        named.or_else(first).map(String::as_str)
    }

    /// An event of that kind that has never happened before.
    pub(crate) fn new_event(&self) -> Result<Value> {
        let kind = self
            .event_kind()
            .context("the service subscribes to nothing")?;
        let examples = self.contracts.examples(kind)?;
        examples
            .into_iter()
            .next()
            .with_context(|| format!("there is no example of {kind}"))
    }

    pub(crate) fn request(&self) -> Result<&Request> {
        self.trial
            .request
            .as_ref()
            .context("conformance.yaml names no request")
    }
}

impl Scene {
    /// With a service that was started on the stage.
    pub(crate) async fn start(run: Arc<Run>, stage: Stage, env: &[(&str, &str)]) -> Result<Self> {
        let service = Service::start(&run, &stage, env).await?;
        Ok(Self {
            run,
            stage,
            service,
            started: Instant::now(),
            event: None,
            words: None,
            stop: None,
        })
    }

    /// With a service that is ready.
    pub(crate) async fn ready(run: Arc<Run>, env: &[(&str, &str)]) -> Result<Self> {
        let starting = run.clone();
        let _place = starting.starts.acquire().await?;
        let stage = Stage::migrated(&run).await?;
        let scene = Self::start(run, stage, env).await?;
        scene.service.ready(Duration::from_secs(30)).await?;
        Ok(scene)
    }

    pub(crate) fn kind(&self) -> Result<String> {
        let kind = self
            .run
            .event_kind()
            .context("the service subscribes to nothing")?;
        Ok(kind.to_owned())
    }

    /// Makes the service publish, and waits until it has.
    pub(crate) async fn make_it_publish(&self) -> Result<Made> {
        let (trace, traceparent) = new_trace();
        let stimulus = self.run.stimulus();
        let stimulus = stimulus.context("nothing is known that makes it publish")?;
        let (cause, kind) = match stimulus {
            Stimulus::Request { kind } => {
                let words = Words::fresh();
                let request = self
                    .service
                    .request(&self.run, self.run.request()?, &words)?;
                let answer = answer(request.header("traceparent", &traceparent)).await?;
                if !answer.status.is_success() {
                    bail!("its request is answered {answer}");
                }
                (Cause::Words(words), kind)
            }
            Stimulus::Event { kind } => {
                let mut event = self.run.new_event()?;
                event["traceparent"] = traceparent.into();
                self.stage.publish(&event).await?;
                (Cause::Event(event), kind)
            }
        };
        let event = self.published_because(kind, &cause).await?;
        Ok(Made {
            event,
            trace,
            cause,
        })
    }

    /// Waits for an event of this kind that came of this cause.
    pub(crate) async fn published_because(&self, kind: &str, cause: &Cause) -> Result<Published> {
        until(EFFECT, || async {
            let events = self.stage.own_events(&self.run).await?;
            let mut events = events.into_iter();
            let event = events.find(|event| event.subject == kind && cause.is_of(event));
            event.with_context(|| format!("no {kind} that speaks of what it was asked for"))
        })
        .await
    }

    /// How many events of a kind there are because of a request.
    pub(crate) async fn count_of(&self, kind: &str, words: &Words) -> Result<usize> {
        let events = self.stage.own_events(&self.run).await?;
        let of_request = events
            .iter()
            .filter(|event| event.subject == kind && words.are_in(&event.payload));
        Ok(of_request.count())
    }

    /// How many mails there are because of an event.
    pub(crate) fn mails_of(&self, event: &Value) -> Result<usize> {
        let addresses = addresses(&event["data"]);
        ensure!(
            !addresses.is_empty(),
            "no address is in the event; name another one in conformance.yaml"
        );
        let mails = self.stage.sink.mails();
        let to = |mail: &&String| addresses.iter().any(|address| mail.contains(address));
        Ok(mails.iter().filter(to).count())
    }

    /// Waits until there is a mail because of an event.
    pub(crate) async fn mail_of(&self, event: &Value, limit: Duration) -> Result<()> {
        until(limit, || async {
            ensure!(
                self.mails_of(event)? > 0,
                "no mail after {} s",
                limit.as_secs()
            );
            Ok(())
        })
        .await
    }

    /// Has one more event of the usual kind applied.
    pub(crate) async fn one_applied(&self, limit: Duration) -> Result<()> {
        let kind = self.kind()?;
        let before = self.service.so_far(&kind).await?;
        self.stage.publish(&self.run.new_event()?).await?;
        self.service.one_more_applied(&kind, before, limit).await
    }
}
