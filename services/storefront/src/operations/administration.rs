//! The administration port of a pod: its metrics, and the events that could not be applied (docs/service-contract.md, `events.dead`).

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use uuid::Uuid;

use super::answer::{self, Answer, DEED, LOOK};
use super::{Figures, Pod};
use crate::moment::Moment;

/// Letters of one service that a page shows; the others come up when these are gone.
pub(crate) const MOST: usize = 100;

/// An event that a service could not apply.
#[derive(Deserialize)]
pub(crate) struct Letter {
    pub(crate) id: Uuid,
    pub(crate) subject: String,
    pub(crate) attempts: i32,
    pub(crate) cause: String,
    #[serde(with = "time::serde::rfc3339")]
    first_at: OffsetDateTime,
    pub(crate) payload: Option<String>,
}

impl Letter {
    pub(crate) fn first(&self) -> Moment {
        Moment::new(self.first_at)
    }
}

/// Why an administration did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such letter (any more).
    Gone,
    /// It cannot be applied still.
    StillBroken,
    /// No pod answers as it should. What it was told to do may be done all the same.
    Away,
}

/// Pods of a service that are asked one after the other, where they do not answer.
const TRIED: usize = 3;

pub(super) struct Administration(Client);

impl Administration {
    pub(super) fn new() -> Self {
        let client = answer::client().build();
        Self(client.expect("a client without certificates of its own can be made"))
    }

    pub(super) async fn figures(&self, pod: &Pod) -> Result<Figures, Refused> {
        let answer = self.ask(Method::GET, pod, "/metrics", LOOK).await?;
        let text = String::from_utf8_lossy(well(&answer)?);
        Ok(Figures::read(&text))
    }

    /// As the first of these pods says that answers, the highest ids first; none of a service that hears nothing.
    pub(super) async fn letters(&self, pods: &[Pod]) -> Result<Option<Vec<Letter>>, Refused> {
        let path = format!("/dead-letters?limit={MOST}");
        let answer = self.look(pods, &path).await?;
        match read(&answer) {
            Err(Refused::Gone) => Ok(None),
            letters => letters.map(Some),
        }
    }

    pub(super) async fn letter(&self, pods: &[Pod], id: Uuid) -> Result<Letter, Refused> {
        let path = format!("/dead-letters/{id}");
        read(&self.look(pods, &path).await?)
    }

    pub(super) async fn retry(&self, pods: &[Pod], id: Uuid) -> Result<(), Refused> {
        let path = format!("/dead-letters/{id}/retry");
        self.tell(Method::POST, pods, &path).await
    }

    pub(super) async fn discard(&self, pods: &[Pod], id: Uuid) -> Result<(), Refused> {
        let path = format!("/dead-letters/{id}");
        self.tell(Method::DELETE, pods, &path).await
    }

    /// Tells one pod alone: they share a database, and what a pod was told may be done though it does not answer.
    async fn tell(&self, method: Method, pods: &[Pod], path: &str) -> Result<(), Refused> {
        let pod = pods.first().ok_or(Refused::Away)?;
        well(&self.ask(method, pod, path, DEED).await?).map(drop)
    }

    async fn look(&self, pods: &[Pod], path: &str) -> Result<Answer, Refused> {
        for pod in pods.iter().take(TRIED) {
            if let Ok(answer) = self.ask(Method::GET, pod, path, LOOK).await {
                return Ok(answer);
            }
        }
        Err(Refused::Away)
    }

    async fn ask(
        &self,
        method: Method,
        pod: &Pod,
        path: &str,
        patience: Duration,
    ) -> Result<Answer, Refused> {
        let url = format!("http://{}{path}", pod.administration);
        let answer = answer::to(self.0.request(method, url), patience).await;
        answer.map_err(|error| {
            tracing::debug!(%error, service = pod.service, path, "an administration does not answer");
            Refused::Away
        })
    }
}

fn well(answer: &Answer) -> Result<&[u8], Refused> {
    match answer.status {
        status if status.is_success() => Ok(&answer.body),
        StatusCode::NOT_FOUND => Err(Refused::Gone),
        StatusCode::CONFLICT => Err(Refused::StillBroken),
        status => {
            tracing::warn!(%status, "an administration refuses");
            Err(Refused::Away)
        }
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Refused> {
    serde_json::from_slice(well(answer)?).map_err(|error| {
        tracing::warn!(%error, "an administration answers something unknown");
        Refused::Away
    })
}
