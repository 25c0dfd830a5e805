//! The administration port of a service.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    cluster::Cluster,
    failure::Failure,
    forward,
    place::{Place, Port},
};

/// A service that does not answer within this time is not reached.
const LIMIT: Duration = Duration::from_secs(10);

/// The administration of one service.
pub(crate) struct Administration<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) place: Place,
}

/// An error as a problem document.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// It says in so many words what is wrong; whoever does not know the path says nothing.
    pub(crate) fn is_problem(&self) -> bool {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        !problem.detail.is_empty()
    }
}

impl Administration<'_> {
    /// What a good answer says.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        self.well(answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::Refused(format!(
                "{} answers something unknown: {error}",
                self.place.service
            ))
        })
    }

    /// It is a good answer.
    pub(crate) fn well(&self, answer: &Answer) -> Result<(), Failure> {
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

    /// Asks within [`LIMIT`].
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Result<Answer, Failure> {
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
