//! The administration port of a service.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::Letter;
use crate::{
    cluster::Cluster,
    failure::Failure,
    forward,
    place::{Place, Port},
};

/// How many letters are asked for at once: as many as a service gives.
const PAGE: usize = 1000;

/// A service that does not answer within this time is not reached.
const LIMIT: Duration = Duration::from_secs(10);

/// The administration of one service.
pub(super) struct Administration<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) place: Place,
}

/// An error as a problem document.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
}

struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Administration<'_> {
    /// All letters of the service; none where it subscribes to nothing.
    pub(super) async fn letters(&self) -> Result<Vec<Letter>, Failure> {
        let mut all: Vec<Letter> = Vec::new();
        loop {
            let mut path = format!("/dead-letters?limit={PAGE}");
            if let Some(last) = all.last() {
                path += &format!("&after={}", last.id);
            }
            let answer = self.ask(Method::GET, &path).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(all);
            }
            let page: Vec<Letter> = self.read(&answer)?;
            let is_last = page.len() < PAGE;
            all.extend(page.into_iter().map(|letter| self.own(letter)));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One letter with its payload, where the service has it.
    pub(super) async fn letter(&self, id: Uuid) -> Result<Option<Letter>, Failure> {
        let answer = self
            .ask(Method::GET, &format!("/dead-letters/{id}"))
            .await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => Ok(Some(self.own(self.read(&answer)?))),
        }
    }

    /// Applies an event now.
    pub(super) async fn retry(&self, id: Uuid) -> Result<(), Failure> {
        let answer = self
            .ask(Method::POST, &format!("/dead-letters/{id}/retry"))
            .await?;
        self.well(&answer)
    }

    /// Forgets an event for good.
    pub(super) async fn discard(&self, id: Uuid) -> Result<(), Failure> {
        let answer = self
            .ask(Method::DELETE, &format!("/dead-letters/{id}"))
            .await?;
        self.well(&answer)
    }

    fn own(&self, letter: Letter) -> Letter {
        Letter {
            service: self.place.service.clone(),
            ..letter
        }
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        self.well(answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::Refused(format!(
                "{} answers something unknown: {error}",
                self.place.service
            ))
        })
    }

    fn well(&self, answer: &Answer) -> Result<(), Failure> {
        if answer.status.is_success() {
            return Ok(());
        }
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_default();
        let detail = match problem.detail.as_str() {
            "" => answer.status.to_string(),
            detail => detail.to_owned(),
        };
        Err(Failure::Refused(format!(
            "{} refuses: {detail}",
            self.place.service
        )))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Answer, Failure> {
        let answered = tokio::time::timeout(LIMIT, self.exchange(method, path)).await;
        let service = &self.place.service;
        answered.unwrap_or_else(|_| {
            Err(Failure::Absent(format!(
                "the administration of {service} does not answer within {LIMIT:?}"
            )))
        })
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Answer, Failure> {
        let stream = forward::stream(self.cluster, &self.place, Port::Administration).await?;
        let service = &self.place.service;
        let broken = |error: hyper::Error| {
            Failure::Absent(format!(
                "the administration of {service} does not answer: {error}"
            ))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, service)
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::Refused(format!("{path}: {error}")))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(broken)?
            .to_bytes();
        connection.abort();
        Ok(Answer { status, body })
    }
}
