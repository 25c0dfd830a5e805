//! Asking a neighbour: deadlines that shrink from hop to hop, the trace passed on, retries only where they are safe.

mod metrics;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{self, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::retry::budget::{Budget as _, TpsBudget};
use tracing::{Instrument, Span};
use url::Url;
use uuid::Uuid;

use crate::deadline;
use crate::http::{ClientIp, IdempotencyKey, Problem};
use crate::telemetry::{failed, inject};

pub use metrics::CallMetrics;

/// The longest wait for one answer when there is no shorter deadline.
const LONGEST: Duration = Duration::from_secs(5);
/// Between two tries: the second pause of those below, with what is added by chance.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Kept back for the way home of the answer.
const MARGIN: Duration = Duration::from_millis(50);
/// An answer larger than this is not read.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// Why a neighbour gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No connection, no answer in time, or none left to wait. Whether the request had an effect is not known.
    #[error("{peer} did not answer: {cause}")]
    Unreachable { peer: &'static str, cause: String },
    /// It answered with an error.
    #[error("{peer} answered {status}: {}", .problem.as_ref().map_or("no reason given", |p| p.detail.as_str()))]
    Status {
        peer: &'static str,
        status: StatusCode,
        problem: Option<Problem>,
    },
    /// It answered something that is not in its contract.
    #[error("{peer} answered something unexpected: {cause}")]
    Malformed { peer: &'static str, cause: String },
}

impl PeerError {
    /// Whether trying again later may help: no answer, overload, an error of theirs.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Malformed { .. } => false,
        }
    }

    /// For traces: one of few words, or the status.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Unreachable { .. } => "unreachable".to_owned(),
            Self::Status { status, .. } => status.as_str().to_owned(),
            Self::Malformed { .. } => "malformed".to_owned(),
        }
    }
}

/// A neighbour. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    name: &'static str,
    base: Url,
    token: Option<SecretString>,
    http: reqwest::Client,
    budget: Arc<TpsBudget>,
    metrics: CallMetrics,
    proxy_token: Option<SecretString>,
}

/// An HTTP client with the time-outs of a neighbour.
pub(crate) fn plain_http() -> reqwest::Client {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(1))
        .timeout(LONGEST)
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        // Fails only without any root certificate, and the image carries them.
        .expect("the HTTP client needs the root certificates of the image")
}

impl Peer {
    /// `base` is the neighbour's base URL; `token` is shown as bearer token.
    pub fn new(
        name: &'static str,
        base: Url,
        token: Option<SecretString>,
        metrics: CallMetrics,
    ) -> Self {
        Self {
            name,
            base,
            token,
            http: plain_http(),
            budget: Arc::new(budget()),
            metrics,
            proxy_token: None,
        }
    }

    /// Proves with the neighbour's `PROXY_TOKEN` that this process may say for which client a call is, see [`Call::on_behalf_of`].
    #[must_use]
    pub fn speaking_for_clients(mut self, token: SecretString) -> Self {
        self.proxy_token = Some(token);
        self
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    pub fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            peer: self,
            method,
            path: path.to_owned(),
            template: None,
            body: None,
            key: None,
            token: None,
            client: None,
            condition: None,
        }
    }
}

/// What is sent with a request.
enum Body {
    Json(serde_json::Value),
    Text(String),
    /// It cannot be written as JSON, and why.
    Unwritable(String),
}

/// One request to a neighbour.
pub struct Call<'a> {
    peer: &'a Peer,
    method: Method,
    path: String,
    template: Option<&'static str>,
    body: Option<Body>,
    key: Option<String>,
    token: Option<SecretString>,
    client: Option<ClientIp>,
    condition: Option<(HeaderName, String)>,
}

impl Call<'_> {
    /// What it is called in traces, where the path holds more that differs from call to call than ids: `/products/{sku}`.
    #[must_use]
    pub fn template(mut self, template: &'static str) -> Self {
        self.template = Some(template);
        self
    }

    /// Shows the token of whoever it is done for, in place of the neighbour's own.
    #[must_use]
    pub fn bearer(mut self, token: &SecretString) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Only if what is asked about still is at this version (RFC 9110, 13.1.1).
    #[must_use]
    pub fn if_match(mut self, etag: impl Into<String>) -> Self {
        self.condition = Some((header::IF_MATCH, etag.into()));
        self
    }

    /// Only if it still is at this version; `None` is that there is no such thing yet (RFC 9110, 13.1.2).
    #[must_use]
    pub fn if_still(mut self, version: Option<i64>) -> Self {
        self.condition = Some(match version {
            Some(version) => (header::IF_MATCH, format!("\"{version}\"")),
            None => (header::IF_NONE_MATCH, "*".to_owned()),
        });
        self
    }

    /// Says for which client it is done, to a neighbour that trusts this process with that.
    #[must_use]
    pub fn on_behalf_of(mut self, client: ClientIp) -> Self {
        self.client = Some(client);
        self
    }

    /// A body that is no JSON document, such as lines of them.
    #[must_use]
    pub fn text(mut self, body: String) -> Self {
        self.body = Some(Body::Text(body));
        self
    }

    /// The JSON body. What cannot be written as JSON is a mistake of the caller and answers as `Malformed` when sent.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(match serde_json::to_value(body) {
            Ok(value) => Body::Json(value),
            Err(error) => Body::Unwritable(error.to_string()),
        });
        self
    }

    /// Makes a POST safe to repeat.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sends and reads the answer; `()` where there is none. A GET, a PUT or DELETE without a condition, and a request with a key are
    /// tried up to three times within the deadline and the neighbour's retry budget; any other once.
    pub async fn send<T: DeserializeOwned>(self) -> Result<T, PeerError> {
        // RFC 9110, 9.2.2. Under a condition a request that was done is refused the second time, as if somebody else had done it.
        let is_idempotent = self.method.is_idempotent() && self.condition.is_none();
        let repeatable = is_idempotent || self.key.is_some();
        repeatedly(&self.peer.budget, repeatable, |try_| self.traced(try_)).await
    }

    /// One try, in a span of its own.
    async fn traced<T: DeserializeOwned>(&self, try_: u32) -> Result<T, PeerError> {
        let template = match self.template {
            Some(template) => template.to_owned(),
            None => template(&self.path),
        };
        let span = tracing::info_span!(
            "call",
            otel.name = format!("{} {template}", self.method),
            otel.kind = "client",
            peer.service = self.peer.name,
            http.request.method = self.method.as_str(),
            http.request.resend_count = (try_ > 0).then_some(try_),
            http.response.status_code = tracing::field::Empty,
            server.address = self.peer.base.host_str().unwrap_or_default(),
            server.port = self.peer.base.port_or_known_default(),
            url.full = tracing::field::Empty,
            url.template = template,
        );
        let started = Instant::now();
        let answer = self.once().instrument(span.clone()).await;
        let outcome = match &answer {
            Ok((status, _)) => status.as_str().to_owned(),
            Err(error) => error.kind(),
        };
        if answer.is_err() {
            failed(&span, outcome.clone());
        }
        let labels = metrics::Labels {
            peer: self.peer.name,
            method: self.method.to_string(),
            route: template,
            outcome,
        };
        self.peer.metrics.observe(&labels, started.elapsed(), &span);
        answer.map(|(_, answer)| answer)
    }

    async fn once<T: DeserializeOwned>(&self) -> Result<(StatusCode, T), PeerError> {
        let name = self.peer.name;
        let unreachable = |cause: String| PeerError::Unreachable { peer: name, cause };
        let malformed = |cause: String| PeerError::Malformed { peer: name, cause };
        let wait = patience().ok_or_else(|| unreachable("no time is left".to_owned()))?;
        let url = self
            .peer
            .base
            .join(&self.path)
            .map_err(|e| malformed(e.to_string()))?;
        Span::current().record("url.full", url.as_str());
        let mut request = self
            .peer
            .http
            .request(self.method.clone(), url)
            .timeout(wait)
            .header(deadline::HEADER, wait.as_millis().to_string());
        request = match &self.body {
            None => request,
            Some(Body::Json(value)) => request.json(value),
            Some(Body::Text(text)) => request.body(text.clone()),
            Some(Body::Unwritable(cause)) => return Err(malformed(cause.clone())),
        };
        if let Some(key) = &self.key {
            request = request.header(IdempotencyKey::HEADER, key);
        }
        if let Some(token) = self.token.as_ref().or(self.peer.token.as_ref()) {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some((name, value)) = &self.condition {
            request = request.header(name, value);
        }
        if let Some(ClientIp(address)) = self.client {
            request = request.header(ClientIp::FORWARDED, address.to_string());
            if let Some(token) = &self.peer.proxy_token {
                let token = HeaderValue::from_str(token.expose_secret());
                let mut token = token.map_err(|e| malformed(format!("the proxy token: {e}")))?;
                token.set_sensitive(true);
                request = request.header(ClientIp::TOKEN, token);
            }
        }
        let mut request = request.build().map_err(|e| malformed(e.to_string()))?;
        inject(request.headers_mut());
        let mut response = self
            .peer
            .http
            .execute(request)
            .await
            .map_err(|e| unreachable(describe(&e)))?;
        let status = response.status();
        Span::current().record("http.response.status_code", status.as_u16());
        let mut body = vec![];
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|e| unreachable(describe(&e)))?
        {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                return Err(malformed("the answer is too large".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(PeerError::Status {
                peer: name,
                status,
                problem: serde_json::from_slice(&body).ok(),
            });
        }
        let body = if status == StatusCode::NO_CONTENT {
            b"null"
        } else {
            &body[..]
        };
        let answer = serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))?;
        Ok((status, answer))
    }
}

/// A path without what differs from call to call: `/payments/{id}/capture`.
fn template(path: &str) -> String {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let segments = path
        .split('/')
        .map(|segment| match Uuid::try_parse(segment) {
            Ok(_) => "{id}",
            Err(_) => segment,
        });
    segments.collect::<Vec<_>>().join("/")
}

/// The innermost cause, without the URL: it may hold ids.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// How long an answer is waited for now; `None` when no time is left.
pub(crate) fn patience() -> Option<Duration> {
    let wait = deadline::remaining()
        .map_or(LONGEST, |d| d.saturating_sub(MARGIN))
        .min(LONGEST);
    (!wait.is_zero()).then_some(wait)
}

/// Asks up to three times, where asking again is safe and may help. Each try hears how many were before it.
pub(crate) async fn repeatedly<T, F>(
    budget: &TpsBudget,
    repeatable: bool,
    mut once: impl FnMut(u32) -> F,
) -> Result<T, PeerError>
where
    F: Future<Output = Result<T, PeerError>>,
{
    budget.deposit();
    let mut tries = 0..;
    (|| once(tries.next().unwrap_or(u32::MAX)))
        .retry(
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(50))
                .with_max_times(2)
                .with_jitter(),
        )
        // A pause that outlasts the deadline would take the time in which the caller can say what went wrong.
        .when(|error: &PeerError| {
            let has_time = patience().is_some_and(|left| left > LONGEST_PAUSE);
            repeatable && error.is_transient() && has_time && budget.withdraw()
        })
        .notify(|error, _| tracing::debug!(%error, "asking again"))
        .await
}

/// Retries may make up a tenth of the requests of the last ten seconds, and one a second: a neighbour that is down is not asked
/// three times as often.
pub(crate) fn budget() -> TpsBudget {
    TpsBudget::new(Duration::from_secs(10), 1, 0.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_without_what_differs_from_call_to_call() {
        let id = Uuid::nil();
        let path = format!("/payments/{id}/capture?wait=1");
        assert_eq!(template(&path), "/payments/{id}/capture");
        let query = format!("/payments?order_id={id}");
        assert_eq!(template(&query), "/payments");
    }

    #[test]
    fn the_budget_allows_ten_retries_at_once_and_then_one_in_ten_requests() {
        let budget = budget();
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 10);
        for _ in 0..20 {
            budget.deposit();
        }
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 2);
    }
}
