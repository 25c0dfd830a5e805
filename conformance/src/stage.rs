//! A database, a broker account and a mail server for one scene, the first two behind proxies, and containers of the image
//! beside them.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_nats::jetstream::{self, consumer, message::PublishMessage, stream};
use serde_json::Value;
use uuid::Uuid;

use crate::docker::Container;
use crate::environment::{Environment, Variables};
use crate::events::{Published, durable};
use crate::proxy::{Proxy, Way};
use crate::run::Run;
use crate::sink::Sink;
use crate::wait::until;

/// The user of every container of the operator.
pub(crate) const USER: &str = "65532";
/// The limit of memory where a Shop says nothing.
pub(crate) const MEMORY: &str = "256m";
const STREAM: &str = "SHOP";

pub(crate) struct Stage {
    pub(crate) database: Option<String>,
    pub(crate) database_way: Proxy,
    pub(crate) broker_way: Proxy,
    pub(crate) sink: Sink,
    pub(crate) user: String,
    jetstream: jetstream::Context,
}

impl Stage {
    /// With a database in which nothing is.
    pub(crate) async fn empty(run: &Run) -> Result<Self> {
        Self::make(run, None, Way::Open).await
    }

    /// With an empty database, and nobody answers.
    pub(crate) async fn dark(run: &Run) -> Result<Self> {
        Self::make(run, None, Way::Cut).await
    }

    /// With a database that is migrated.
    pub(crate) async fn migrated(run: &Run) -> Result<Self> {
        Self::make(
            run,
            run.backends.template.get().map(String::as_str),
            Way::Open,
        )
        .await
    }

    async fn make(run: &Run, template: Option<&str>, way: Way) -> Result<Self> {
        let backends = &run.backends;
        let account = backends.account()?;
        let database = match run.document.database {
            Some(_) => {
                let name = format!("s{}", Uuid::now_v7().simple());
                backends.make_database(&name, template).await?;
                Some(name)
            }
            None => None,
        };
        let host = backends.host();
        Ok(Self {
            database,
            database_way: Proxy::start(host, backends.postgres(), way).await?,
            broker_way: Proxy::start(host, backends.nats, way).await?,
            sink: Sink::start(host).await?,
            user: account.user.clone(),
            jetstream: jetstream::new(backends.broker(account).await?),
        })
    }

    pub(crate) fn database_name(&self) -> Result<&str> {
        self.database
            .as_deref()
            .context("the service has no database")
    }

    /// Starts the image as the operator would, with these variables in place of or beside the usual ones; an empty one is left
    /// out.
    pub(crate) async fn start(
        &self,
        run: &Run,
        command: &[String],
        env: &[(&str, &str)],
    ) -> Result<Container> {
        let mut all = self.environment(run);
        for (name, value) in env {
            all.retain(|(known, _)| known != name);
            if !value.is_empty() {
                all.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        self.start_with(run, command, &all, &[]).await
    }

    /// The usual variables.
    pub(crate) fn environment(&self, run: &Run) -> Variables {
        let Environment { secrets, plain } = Environment::of(run, self);
        secrets.into_iter().chain(plain).collect()
    }

    /// Starts the image with exactly this environment and these further arguments of `docker run`.
    pub(crate) async fn start_with(
        &self,
        run: &Run,
        command: &[String],
        env: &[(String, String)],
        further: &[String],
    ) -> Result<Container> {
        let user = format!("{USER}:{USER}");
        let fixed = [
            "--read-only",
            "--user",
            &user,
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--memory",
            MEMORY,
            "--memory-swap",
            MEMORY,
        ];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).to_vec();
        for folder in &run.document.scratch {
            arguments.extend(["--tmpfs".to_owned(), format!("{}:mode=1777", folder.path)]);
        }
        arguments.extend_from_slice(further);
        arguments.push(run.image.clone());
        arguments.extend_from_slice(command);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run.backends.network.start(env, &arguments).await
    }

    /// The stream of all events, once somebody has made it.
    pub(crate) async fn stream(&self) -> Result<stream::Stream> {
        until(Duration::from_secs(10), || {
            self.jetstream.get_stream(STREAM)
        })
        .await
        .map_err(|error| anyhow!("there is no stream {STREAM}: {error}"))
    }

    /// The consumer of a service for a kind of event.
    pub(crate) async fn consumer(&self, service: &str, kind: &str) -> Result<consumer::Info> {
        let stream = self.stream().await?;
        let name = durable(service, kind);
        let mut consumer = until(Duration::from_secs(10), || {
            stream.get_consumer::<consumer::Config>(&name)
        })
        .await
        .map_err(|error| anyhow!("there is no consumer {name}: {error}"))?;
        Ok(consumer.info().await?.clone())
    }

    /// Publishes an event as another service does, past the broker's own deduplication.
    pub(crate) async fn publish(&self, event: &Value) -> Result<()> {
        let subject = event["type"].as_str().unwrap_or_default().to_owned();
        self.publish_raw(&subject, event.to_string()).await
    }

    /// Publishes an event under a `Nats-Msg-Id` that need not be its id.
    pub(crate) async fn publish_as(&self, event: &Value, message_id: &str) -> Result<()> {
        let subject = event["type"].as_str().unwrap_or_default().to_owned();
        let message = PublishMessage::build()
            .message_id(message_id)
            .payload(event.to_string().into());
        let acknowledgement = self.jetstream.send_publish(subject, message).await?;
        acknowledgement
            .await
            .map(drop)
            .context("the broker does not take an event of the suite")
    }

    /// Publishes any bytes.
    pub(crate) async fn publish_raw(&self, subject: &str, payload: String) -> Result<()> {
        self.stream().await?;
        let acknowledgement = self
            .jetstream
            .publish(subject.to_owned(), payload.into())
            .await?;
        acknowledgement
            .await
            .map(drop)
            .context("the broker does not take an event of the suite")
    }

    /// All that is in the stream.
    pub(crate) async fn events(&self) -> Result<Vec<Published>> {
        let mut stream = self.stream().await?;
        let last = stream.info().await?.state.last_sequence;
        let mut events = vec![];
        for sequence in 1..=last {
            let Ok(message) = stream.get_raw_message(sequence).await else {
                continue;
            };
            let id = message
                .headers
                .get("Nats-Msg-Id")
                .map(|id| id.as_str().to_owned());
            events.push(Published {
                sequence,
                subject: message.subject.to_string(),
                message_id: id,
                payload: String::from_utf8_lossy(&message.payload).into_owned(),
                headers: Some(message.headers),
            });
        }
        Ok(events)
    }

    /// What the service has published.
    pub(crate) async fn own_events(&self, run: &Run) -> Result<Vec<Published>> {
        let prefix = format!("shop.{}.", run.document.name);
        let events = self.events().await?.into_iter();
        Ok(events
            .filter(|event| event.subject.starts_with(&prefix))
            .collect())
    }

    /// Makes the broker lose everything after `kept`: the stream is made anew with what came before, under the same numbers, and
    /// then others publish.
    pub(crate) async fn lose(&self, kept: u64, foreign: &Value) -> Result<()> {
        let events = self.events().await?;
        let config = self.stream().await?.info().await?.config.clone();
        self.jetstream.delete_stream(STREAM).await?;
        self.jetstream.create_stream(config).await?;
        for event in events.into_iter().filter(|event| event.sequence <= kept) {
            let headers = event.headers.unwrap_or_default();
            let message = PublishMessage::build()
                .headers(headers)
                .payload(event.payload.into());
            self.jetstream
                .send_publish(event.subject, message)
                .await?
                .await?;
        }
        self.publish(foreign).await
    }
}
