//! Who is asking: access tokens checked offline with the issuer's published keys, and tokens between services.

use std::marker::PhantomData;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;
use tonic::service::Interceptor;
use tonic::{Request, Status};
use url::Url;
use uuid::Uuid;

use crate::application::ISSUER;
use crate::http::Problem;

/// Where an issuer publishes its keys.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// An unknown key id may be a new key: the keys are fetched again, but not more often than this.
const REFETCH: Duration = Duration::from_secs(5);
/// A try that failed stands for all who waited for it, and for those who come so soon after it.
const FAILED: Duration = Duration::from_millis(250);
/// How long a request waits for the keys: longer while none is known yet, because then everything needs them.
const WAIT: Duration = Duration::from_millis(500);
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The claims of an access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    pub sub: Uuid,
    pub iss: String,
    pub aud: String,
    /// Seconds since 1970.
    pub exp: i64,
    pub iat: i64,
    #[serde(default)]
    pub roles: Vec<String>,
}

/// The one who asks, as the access token says.
#[derive(Debug, Clone)]
pub struct Principal {
    pub id: Uuid,
    pub roles: Vec<String>,
}

impl Principal {
    /// Whether the token carries `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r == role)
    }

    /// # Errors
    /// 403 when the token does not carry `role`.
    pub fn require_role(&self, role: &str) -> Result<(), Problem> {
        if self.has_role(role) {
            Ok(())
        } else {
            Err(Problem::forbidden(format!("This needs the role {role}.")))
        }
    }
}

/// Checks access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    keys: RwLock<JwkSet>,
    source: Option<Source>,
}

struct Source {
    url: Url,
    http: reqwest::Client,
    last: tokio::sync::Mutex<Option<Attempt>>,
}

/// The last time the keys were asked for.
struct Attempt {
    at: Instant,
    succeeded: bool,
}

impl Verifier {
    /// With keys known from the start: the issuer itself.
    pub fn local(keys: JwkSet) -> Self {
        Self {
            inner: Arc::new(Inner {
                keys: RwLock::new(keys),
                source: None,
            }),
        }
    }

    /// With the keys that `issuer` publishes.
    pub(crate) fn remote(issuer: Url) -> Self {
        let mut url = issuer;
        url.set_path(JWKS_PATH);
        Self {
            inner: Arc::new(Inner {
                keys: RwLock::new(JwkSet { keys: vec![] }),
                source: Some(Source {
                    url,
                    http: crate::client::plain_http(),
                    last: tokio::sync::Mutex::new(None),
                }),
            }),
        }
    }

    /// Fetches the keys now and every `period`, more often while they cannot be had.
    pub(crate) async fn keep_fresh(&self, stop: CancellationToken, period: Duration) {
        loop {
            let pause = match self.fetch(Duration::ZERO).await {
                Ok(()) => period,
                Err(error) => {
                    tracing::debug!(%error, "the issuer's keys cannot be had");
                    Duration::from_millis(500)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn fetch(&self, not_younger_than: Duration) -> anyhow::Result<()> {
        let Some(source) = &self.inner.source else {
            return Ok(());
        };
        let mut last = source.last.lock().await;
        if let Some(attempt) = &*last
            && attempt.at.elapsed() < not_younger_than
        {
            if attempt.succeeded {
                return Ok(());
            }
            anyhow::ensure!(
                attempt.at.elapsed() >= FAILED,
                "the last try has just failed"
            );
        }
        let outcome = self.ask(source).await;
        *last = Some(Attempt {
            at: Instant::now(),
            succeeded: outcome.is_ok(),
        });
        outcome
    }

    async fn ask(&self, source: &Source) -> anyhow::Result<()> {
        let keys: JwkSet = source
            .http
            .get(source.url.clone())
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        *self
            .inner
            .keys
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = keys;
        Ok(())
    }

    /// # Errors
    /// 401 for a token that is not valid; 503 while no key of the issuer is known.
    pub async fn verify(&self, token: &str) -> Result<Principal, Problem> {
        let header = decode_header(token).map_err(|_| unauthenticated())?;
        let kid = header.kid.unwrap_or_default();
        let mut key = self.key(&kid);
        if key.is_none() {
            // Requests must not pile up here while the issuer is away: whoever does not get the keys soon goes away.
            let fetched = self.fetch_soon().await;
            key = self.key(&kid);
            if key.is_none() && !fetched {
                return Err(Problem::unavailable(
                    "The keys that tokens are checked with cannot be had from the users service.",
                ));
            }
        }
        let key = key.ok_or_else(unauthenticated)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 5;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|_| unauthenticated())?
            .claims;
        Ok(Principal {
            id: claims.sub,
            roles: claims.roles,
        })
    }

    /// Whether the keys could be had within the time that a request waits for them.
    async fn fetch_soon(&self) -> bool {
        if !self.knows_no_key() {
            let once = tokio::time::timeout(WAIT, self.fetch(REFETCH)).await;
            return matches!(once, Ok(Ok(())));
        }
        let until_had = async {
            while self.fetch(REFETCH).await.is_err() {
                tokio::time::sleep(FAILED).await;
            }
        };
        tokio::time::timeout(FIRST_WAIT, until_had).await.is_ok()
    }

    fn knows_no_key(&self) -> bool {
        let keys = self.inner.keys.read();
        keys.unwrap_or_else(std::sync::PoisonError::into_inner)
            .keys
            .is_empty()
    }

    fn key(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self
            .inner
            .keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        DecodingKey::from_jwk(keys.find(kid)?).ok()
    }
}

fn unauthenticated() -> Problem {
    Problem::unauthenticated(
        "Send a valid access token: Authorization: Bearer <token>. It may have expired.",
    )
}

fn bearer(headers: &HeaderMap) -> Result<Authorization<Bearer>, Problem> {
    headers.typed_get().ok_or_else(unauthenticated)
}

impl<S> FromRequestParts<S> for Principal
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let shown = bearer(&parts.headers)?;
        Verifier::from_ref(state).verify(shown.token()).await
    }
}

/// A role that routes ask for.
pub trait Role: Send + Sync {
    /// Its name in tokens.
    const NAME: &'static str;
}

/// Proof that whoever asks has the role `R`. As the first argument of a handler it comes before all that is read of the
/// request: who may not use a route is told just that, whatever is sent.
#[derive(Debug, Clone, Copy)]
pub struct WithRole<R>(PhantomData<R>);

impl<R, S> FromRequestParts<S> for WithRole<R>
where
    R: Role,
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        principal.require_role(R::NAME)?;
        Ok(Self(PhantomData))
    }
}

/// The token that services show to one another.
#[derive(Clone)]
pub struct ApiToken(Arc<SecretString>);

impl ApiToken {
    pub fn new(token: SecretString) -> Self {
        Self(Arc::new(token))
    }

    fn check(&self, headers: &HeaderMap) -> Result<Trusted, Problem> {
        let shown = bearer(headers)?;
        if self.is(shown.token()) {
            Ok(Trusted)
        } else {
            Err(unauthenticated())
        }
    }

    /// Whether this is it.
    pub(crate) fn is(&self, shown: &str) -> bool {
        // Digests, so that not even the length of the token shows in the time taken.
        let [shown, expected] = [shown, self.0.expose_secret()].map(Sha256::digest);
        shown.ct_eq(&expected).into()
    }
}

/// Lets through the calls of those who show the token.
impl Interceptor for ApiToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        self.check(request.metadata().as_ref())?;
        Ok(request)
    }
}

/// Proof that the caller showed the right [`ApiToken`].
#[derive(Debug, Clone, Copy)]
pub struct Trusted;

impl<S> FromRequestParts<S> for Trusted
where
    S: Send + Sync,
    ApiToken: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        ApiToken::from_ref(state).check(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token with a key that nobody published; `{"alg":"EdDSA","kid":"x"}` is its head.
    const UNKNOWN_KEY: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6IngifQ.e30.AA";

    #[tokio::test]
    async fn the_first_request_waits_for_an_issuer_that_is_just_coming() {
        crate::process::install_crypto();
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let verifier = Verifier::remote(format!("http://{address}").parse().unwrap());
        let first = verifier.fetch(Duration::ZERO).await;
        assert!(first.is_err(), "nobody is there");
        let (outcome, ()) = tokio::join!(verifier.verify(UNKNOWN_KEY), async {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            let keys = axum::Json(serde_json::json!({ "keys": [] }));
            let routes = axum::Router::new().route(JWKS_PATH, axum::routing::get(async || keys));
            tokio::spawn(async move { axum::serve(listener, routes).await });
        });
        let status = outcome.unwrap_err().status;
        let why = "the keys are there, this one is not among them";
        assert_eq!(status, http::StatusCode::UNAUTHORIZED, "{why}");
    }

    #[tokio::test]
    async fn requests_do_not_pile_up_behind_an_issuer_that_does_not_answer() {
        crate::process::install_crypto();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let verifier = Verifier::remote(url.parse().unwrap());
        let started = Instant::now();
        let all = (0..100).map(|_| verifier.verify(UNKNOWN_KEY));
        for outcome in futures::future::join_all(all).await {
            assert_eq!(
                outcome.unwrap_err().status,
                http::StatusCode::SERVICE_UNAVAILABLE
            );
        }
        // One after the other they would need minutes.
        assert!(
            started.elapsed() < 10 * FIRST_WAIT,
            "{:?}",
            started.elapsed()
        );
    }
}
