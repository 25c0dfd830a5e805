//! Asking a neighbour over gRPC, with what a call over HTTP has: deadlines that shrink, the trace, careful retries.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tower::retry::budget::TpsBudget;
use tracing::Instrument;
use url::Url;

use super::status::problem;
use crate::client::{PeerError, budget, patience, repeatedly};
use crate::telemetry::{failed, inject};

/// How often a silent neighbour is asked whether it is still there while it owes an answer, and how long it has.
const ASK: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);

/// A neighbour that speaks gRPC. Cheap to clone.
#[derive(Clone)]
pub struct GrpcPeer {
    name: &'static str,
    channel: Channel,
    token: Option<HeaderValue>,
    budget: Arc<TpsBudget>,
}

impl GrpcPeer {
    /// `base` is `grpc://host:port`; `token` is shown as bearer token. Connects when first asked.
    pub fn new(
        name: &'static str,
        base: &Url,
        token: Option<&SecretString>,
    ) -> anyhow::Result<Self> {
        let host = base.host_str().context("the URL names no host")?;
        let port = base.port().unwrap_or(8081);
        let channel = Endpoint::from_shared(format!("http://{host}:{port}"))?
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(ASK)
            .keep_alive_timeout(ANSWER)
            .connect_lazy();
        let token = token
            .map(|token| {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))?;
                value.set_sensitive(true);
                anyhow::Ok(value)
            })
            .transpose()
            .context("the token cannot be sent in a header")?;
        Ok(Self {
            name,
            channel,
            token,
            budget: Arc::new(budget()),
        })
    }

    /// Calls `method`, which `call` does with a generated client, up to three times within the deadline and the neighbour's
    /// retry budget. So a call must be one that may be repeated: it reads, or its message has a key.
    pub async fn call<Q, A, F>(
        &self,
        method: &'static str,
        message: Q,
        call: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, PeerError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let (message, call) = (&message, &call);
        let once = |_| async move {
            let span = tracing::info_span!(
                "call",
                otel.name = format!("{method} {}", self.name),
                otel.kind = "client",
                rpc.system = "grpc",
                rpc.method = method,
                peer.service = self.name,
            );
            let answer = self.once(message, call).instrument(span.clone()).await;
            if let Err(error) = &answer {
                failed(&span, error.kind());
            }
            answer
        };
        repeatedly(&self.budget, true, once).await
    }

    /// An answer that is not in the neighbour's contract.
    pub fn malformed(&self, cause: impl Into<String>) -> PeerError {
        PeerError::Malformed {
            peer: self.name,
            cause: cause.into(),
        }
    }

    async fn once<Q, A, F>(
        &self,
        message: &Q,
        call: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, PeerError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let unreachable = |cause: &str| PeerError::Unreachable {
            peer: self.name,
            cause: cause.to_owned(),
        };
        let wait = patience().ok_or_else(|| unreachable("no time is left"))?;
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        let mut request = Request::from_parts(
            MetadataMap::from_headers(headers),
            tonic::Extensions::default(),
            message.clone(),
        );
        request.set_timeout(wait);
        // The connection is waited for too, which tonic does not count.
        match tokio::time::timeout(wait, call(self.channel.clone(), request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if status.source().is_some() => Err(unreachable(&describe(&status))),
            // A server that counts the time itself and has no better word.
            Ok(Err(status)) if status.code() == Code::Cancelled => {
                Err(unreachable("no answer in time"))
            }
            Ok(Err(status)) => {
                let problem = problem(&status);
                Err(PeerError::Status {
                    peer: self.name,
                    status: problem.status,
                    problem: Some(problem),
                })
            }
            Err(_) => Err(unreachable("no answer in time")),
        }
    }
}

/// Why there was no answer: a status that tonic made up has a source.
fn describe(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.is::<tonic::TimeoutExpired>() {
        true => "no answer in time".to_owned(),
        false => cause.to_string(),
    }
}
