//! The same request, sent twice or at the same time by a twin, gets the same answer and has one effect.
//!
//! The key's row is inserted in the transaction that does the work. A twin waits on that row until the first commits and
//! then reads the stored answer; if the first rolls back, the twin does the work itself.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::db::{self, Transaction};
use crate::http::{IdempotencyKey, Problem};

/// What a key means for this request.
#[derive(Debug)]
pub enum Claim {
    /// Nobody has asked with this key: do the work, then [`Ticket::save`] the answer and commit.
    New(Ticket),
    /// The work was done: this is the answer it had.
    Replay(Response),
}

/// The right to store the answer under a key.
#[derive(Debug)]
pub struct Ticket {
    scope: String,
    key: String,
    location: Option<String>,
}

/// Claims `key` within `scope` (who asks for what: `"orders:<user id>"`). `request` is what the key must stay bound to:
/// the same key with another request is refused.
///
/// # Errors
/// `idempotency_key_reused` (422); 503 when the database is away or a twin is still at work when the caller's time is over.
pub async fn claim(
    tx: &Transaction<'_>,
    scope: &str,
    key: &IdempotencyKey,
    request: &impl Serialize,
) -> Result<Claim, Problem> {
    let fingerprint = Fingerprint::of(request)?;
    let inserted = db::execute(
        tx,
        "insert into idempotency (scope, key, fingerprint) values ($1, $2, $3) on conflict do nothing",
        &[&scope, &key.as_str(), &fingerprint.as_bytes()],
    )
    .await
    .map_err(twin_at_work)?;
    if inserted == 1 {
        return Ok(Claim::New(Ticket {
            scope: scope.to_owned(),
            key: key.as_str().to_owned(),
            location: None,
        }));
    }
    let row = db::query_one(
        tx,
        "select fingerprint, status, body, location from idempotency where scope = $1 and key = $2",
        &[&scope, &key.as_str()],
    )
    .await?;
    if Fingerprint::stored(row.get("fingerprint")) != fingerprint {
        return Err(key_reused());
    }
    let status: Option<i16> = row.get("status");
    let body: Option<String> = row.get("body");
    match (status, body) {
        (Some(status), Some(body)) => Ok(Claim::Replay(stored(status, body, row.get("location"))?)),
        _ => Err(Problem::internal(
            "an idempotency key was committed without an answer",
        )),
    }
}

impl Ticket {
    /// The `Location` that goes with the answer, now and whenever it is replayed.
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Stores the answer in the transaction and returns it. The caller commits.
    pub async fn save(
        self,
        tx: &Transaction<'_>,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<Response, Problem> {
        let body = serde_json::to_string(body).map_err(Problem::internal)?;
        // Every HTTP status fits: they end at 999.
        let number = status.as_u16().cast_signed();
        db::execute(
            tx,
            "update idempotency set status = $3, body = $4, location = $5 where scope = $1 and key = $2",
            &[&self.scope, &self.key, &number, &body, &self.location],
        )
        .await?;
        stored(number, body, self.location)
    }
}

/// What a key stays bound to: SHA-256 of the request as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// # Errors
    /// `internal` (500) for a request that cannot be written as JSON.
    pub fn of(request: &impl Serialize) -> Result<Self, Problem> {
        let bytes = serde_json::to_vec(request).map_err(Problem::internal)?;
        Ok(Self(Sha256::digest(bytes).to_vec()))
    }

    /// As it was stored.
    pub fn stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The same key with another request.
pub fn key_reused() -> Problem {
    Problem::invalid(
        "idempotency_key_reused",
        "This Idempotency-Key was used for a different request. Use a new key for a new request.",
    )
}

fn stored(status: i16, body: String, location: Option<String>) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(status.cast_unsigned()).map_err(Problem::internal)?;
    let content = if status.is_client_error() || status.is_server_error() {
        "application/problem+json"
    } else {
        "application/json"
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    if let Some(location) = location {
        let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}

fn twin_at_work(error: db::Error) -> Problem {
    match error {
        db::Error::Unavailable(_) => Problem::unavailable(
            "The same request is still at work, or the database is not available. Send it again with the same key.",
        ),
        db::Error::Query(_) => error.into(),
    }
}
