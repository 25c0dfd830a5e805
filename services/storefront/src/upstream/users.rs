//! Accounts and sessions.

use chassis::client::{CallMetrics, Peer, PeerError};
use chassis::http::ClientIp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

#[derive(Clone)]
pub(crate) struct Users(Peer);

/// What someone who is logged in holds.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: SecretString,
    /// Seconds.
    pub(crate) expires_in: i64,
    pub(crate) refresh_token: SecretString,
}

/// An account as its owner sees it.
#[derive(Deserialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) email: String,
}

impl Users {
    pub(crate) fn new(base: Url, token: SecretString, calls: CallMetrics) -> Self {
        let peer = Peer::new("users", base, None, calls);
        Self(peer.speaking_for_clients(token))
    }

    pub(crate) async fn log_in(
        &self,
        email: &str,
        password: &str,
        client: ClientIp,
    ) -> Result<Tokens, PeerError> {
        let credentials = json!({ "email": email, "password": password });
        let call = self.0.post("/sessions").json(&credentials);
        call.on_behalf_of(client).send().await
    }

    /// `key` makes it safe to send again.
    pub(crate) async fn register(
        &self,
        email: &str,
        password: &str,
        name: &str,
        key: &str,
        client: ClientIp,
    ) -> Result<(), PeerError> {
        let account = json!({ "email": email, "password": password, "name": name });
        let call = self.0.post("/users").json(&account).idempotency_key(key);
        let answer: Result<serde::de::IgnoredAny, _> = call.on_behalf_of(client).send().await;
        answer.map(drop)
    }

    pub(crate) async fn account(&self, token: &SecretString) -> Result<Account, PeerError> {
        self.0.get("/me").bearer(token).send().await
    }

    pub(crate) async fn refresh(&self, token: &SecretString) -> Result<Tokens, PeerError> {
        let token = json!({ "refresh_token": token.expose_secret() });
        self.0.post("/sessions/refresh").json(&token).send().await
    }

    pub(crate) async fn log_out(
        &self,
        token: &SecretString,
        everywhere: bool,
    ) -> Result<(), PeerError> {
        let what = json!({ "refresh_token": token.expose_secret(), "everywhere": everywhere });
        self.0.delete("/sessions").json(&what).send().await
    }
}
