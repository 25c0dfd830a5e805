//! A running container of the image, as its callers and its operator see it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::docker::{Container, State};
use crate::document::Request;
use crate::metrics::{self, Sample};
use crate::run::Run;
use crate::stage::Stage;
use crate::trial::Words;
use crate::wait::until;

/// Longer than any answer should take.
const LONGEST: Duration = Duration::from_secs(35);

pub(crate) struct Service {
    pub(crate) container: Container,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Where its document has one.
    pub(crate) grpc: Option<SocketAddr>,
    client: reqwest::Client,
}

/// What became of the events of a kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SoFar {
    applied: f64,
    duplicate: f64,
    pub(crate) waiting: f64,
}

impl SoFar {
    /// Whether one more was applied. Where the answer to a commit is lost, as on a machine whose disk hangs for seconds, nobody can
    /// know that it was: the event waits, and is a duplicate when it comes again.
    fn is_one_more_than(self, before: Self) -> bool {
        self.applied > before.applied
            || (self.waiting > before.waiting && self.duplicate > before.duplicate)
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Whether it is a problem document of this status, or what is wrong with it.
    pub(crate) fn problem(&self, status: u16) -> Result<(), String> {
        let content = self.header("content-type").unwrap_or("no content type");
        let body = self.json();
        if self.status != status {
            return Err(self.to_string());
        }
        if !content.starts_with("application/problem+json") {
            return Err(format!("{status} with {content}"));
        }
        let is_text = |field: &str| body[field].as_str().is_some_and(|text| !text.is_empty());
        match ["title", "code", "detail"]
            .into_iter()
            .find(|field| !is_text(field))
        {
            Some(field) => Err(format!(
                "{status} with a problem document without {field}: {}",
                self.text
            )),
            None if body["status"] != status => Err(format!(
                "{status} with a problem document of another status: {}",
                self.text
            )),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text.chars().take(200).collect();
        write!(f, "{} {}", self.status.as_u16(), text.trim())
    }
}

impl Service {
    /// Starts the image's `serve`. Returns before it listens.
    pub(crate) async fn start(run: &Run, stage: &Stage, env: &[(&str, &str)]) -> Result<Self> {
        let container = stage.start(run, &run.document.serve, env).await?;
        Self::of(run, container).await
    }

    pub(crate) async fn of(run: &Run, container: Container) -> Result<Self> {
        let ports = run.document.ports;
        let address = match container.address().await {
            Ok(address) => address,
            Err(_) => bail!("{}", last_words(&container).await?),
        };
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(LONGEST)
            .build()?;
        Ok(Self {
            container,
            http: (address, ports.http).into(),
            admin: (address, ports.admin).into(),
            grpc: ports.grpc.map(|port| (address, port).into()),
            client,
        })
    }

    /// GET on the administration port.
    pub(crate) async fn admin(&self, path: &str) -> Result<Answer> {
        self.admin_call(Method::GET, path).await
    }

    pub(crate) async fn admin_call(&self, method: Method, path: &str) -> Result<Answer> {
        let request = self
            .client
            .request(method, format!("http://{}{path}", self.admin));
        answer(request).await
    }

    /// GET on the port of the API, with headers.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.client.get(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    /// The request of the trial with these words.
    pub(crate) fn request(
        &self,
        run: &Run,
        request: &Request,
        words: &Words,
    ) -> Result<reqwest::RequestBuilder> {
        let body = request.body.as_ref().map(|body| words.fill_in(body));
        self.request_with(run, request, words, body.as_ref())
    }

    /// The request of the trial with another body.
    pub(crate) fn request_with(
        &self,
        run: &Run,
        request: &Request,
        words: &Words,
        body: Option<&Value>,
    ) -> Result<reqwest::RequestBuilder> {
        let method = Method::from_bytes(request.method.as_bytes())?;
        let url = format!("http://{}{}", self.http, words.fill(&request.path));
        let mut builder = self.client.request(method, url);
        if let Some(token) = run.token(&request.r#as)? {
            builder = builder.bearer_auth(token);
        }
        if request.idempotency_key {
            builder = builder.header("Idempotency-Key", Uuid::now_v7().to_string());
        }
        if let Some(body) = body {
            builder = builder.json(body);
        }
        Ok(builder)
    }

    /// Sends the request of the trial, something new each time.
    pub(crate) async fn ask(&self, run: &Run) -> Result<Answer> {
        self.ask_for(run, &Words::fresh()).await
    }

    pub(crate) async fn ask_for(&self, run: &Run, words: &Words) -> Result<Answer> {
        answer(self.request(run, run.request()?, words)?).await
    }

    /// Sends bytes to the port of the API, and reads what comes until the connection ends, or for five seconds.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Result<String> {
        let mut stream = TcpStream::connect(self.http).await?;
        // A server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = vec![];
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The samples of `/metrics`.
    pub(crate) async fn metrics(&self) -> Result<Vec<Sample>> {
        Ok(metrics::samples(&self.admin("/metrics").await?.text))
    }

    /// What became of the events of a kind so far.
    pub(crate) async fn so_far(&self, kind: &str) -> Result<SoFar> {
        Ok(SoFar {
            applied: self.processed(kind, "applied").await?,
            duplicate: self.processed(kind, "duplicate").await?,
            waiting: self.processed(kind, "waiting").await?,
        })
    }

    /// Waits until one more event of a kind was applied.
    pub(crate) async fn one_more_applied(
        &self,
        kind: &str,
        before: SoFar,
        limit: Duration,
    ) -> Result<()> {
        until(limit, || async {
            if self.so_far(kind).await?.is_one_more_than(before) {
                return Ok(());
            }
            let all = self.metrics().await?;
            let all = all.iter().filter(|s| s.name == "events_processed_total");
            let all: Vec<_> = all.map(ToString::to_string).collect();
            bail!("no more events applied; {}", all.join(", "));
        })
        .await
    }

    /// How many events of a kind had this outcome.
    pub(crate) async fn processed(&self, kind: &str, outcome: &str) -> Result<f64> {
        let wanted = [("subject", kind), ("outcome", outcome)];
        let samples = self.metrics().await?;
        let found = samples
            .iter()
            .find(|sample| sample.is("events_processed_total", &wanted));
        Ok(found.map_or(0.0, |sample| sample.value))
    }

    /// Waits until so many events of a kind had this outcome.
    pub(crate) async fn until_processed(
        &self,
        kind: &str,
        outcome: &str,
        count: f64,
        limit: Duration,
    ) -> Result<()> {
        until(limit, || async {
            let seen = self.processed(kind, outcome).await?;
            if seen < count {
                let all = self.metrics().await?;
                let all = all.iter().filter(|s| s.name == "events_processed_total");
                let all: Vec<_> = all.map(ToString::to_string).collect();
                bail!("{seen} events {outcome}; {}", all.join(", "));
            }
            Ok(())
        })
        .await
    }

    /// Waits until `/readyz` says 200; the error is what it said last.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<Duration> {
        let started = Instant::now();
        until(limit, || async {
            let answer = match self.admin("/readyz").await {
                Ok(answer) => answer,
                Err(error) => {
                    // The engine has much to do for each question, and many scenes wait like this at once.
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    if self.container.state().await? != State::Running {
                        bail!("{}", last_words(&self.container).await?);
                    }
                    return Err(error);
                }
            };
            if answer.status != StatusCode::OK {
                bail!("/readyz: {answer}");
            }
            // Asked afterwards: the address of one that has ended is soon another's, which may be ready.
            if self.container.state().await? != State::Running {
                bail!("{}", last_words(&self.container).await?);
            }
            Ok(())
        })
        .await?;
        Ok(started.elapsed())
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let started = Instant::now();
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Answer {
        status,
        headers,
        text: response.text().await?,
        took: started.elapsed(),
    })
}

/// How a container has ended, for people.
pub(crate) async fn last_words(container: &Container) -> Result<String> {
    let (_, stderr) = container.logs().await?;
    let words = stderr.lines().last().unwrap_or("nothing on standard error");
    Ok(match container.state().await? {
        State::Running => "it runs".to_owned(),
        State::Ended {
            out_of_memory: true,
            ..
        } => format!("it ran out of {} memory", crate::stage::MEMORY),
        State::Ended { code, .. } => format!("it has ended with {code}: {words}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn so_far(applied: f64, duplicate: f64, waiting: f64) -> SoFar {
        SoFar {
            applied,
            duplicate,
            waiting,
        }
    }

    #[test]
    fn a_commit_whose_answer_was_lost_has_applied_its_event() {
        let before = so_far(1.0, 1.0, 1.0);
        assert!(so_far(2.0, 1.0, 1.0).is_one_more_than(before));
        assert!(so_far(1.0, 2.0, 2.0).is_one_more_than(before));
        assert!(!so_far(1.0, 2.0, 1.0).is_one_more_than(before));
        assert!(!so_far(1.0, 1.0, 2.0).is_one_more_than(before));
    }
}
