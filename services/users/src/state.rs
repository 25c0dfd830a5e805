//! What the handlers work with.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use chassis::{auth::Verifier, db::Db, http::Problem};
use secrecy::SecretString;

use crate::{
    access_token::Signer,
    email_address::EmailAddress,
    limits::Limits,
    metrics::Metrics,
    password::Hasher,
    refresh_token::Minter,
    store::accounts::{self, Credentials},
};

/// Handlers take it as an argument of its own: `state: State`.
#[derive(Clone, FromRequestParts)]
#[from_request(via(axum::extract::State), state(State))]
pub struct State {
    pub(crate) db: Db,
    pub(crate) hasher: Hasher,
    pub(crate) signer: Arc<Signer>,
    pub(crate) minter: Arc<Minter>,
    pub(crate) verifier: Verifier,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
}

impl FromRef<State> for Verifier {
    fn from_ref(state: &State) -> Self {
        state.verifier.clone()
    }
}

impl State {
    /// The account of an address, if the password is its own. Does the same work when there is no such account.
    pub(crate) async fn prove(
        &self,
        email: &EmailAddress,
        password: &SecretString,
    ) -> Result<Option<Credentials>, Problem> {
        // The connection goes back before the hashing, which takes longer than all the rest.
        let account = accounts::credentials(&self.db.get().await?, email).await?;
        let hash = account
            .as_ref()
            .map(|account| account.password_hash.clone());
        let proved = self.hasher.matches(password, hash).await?;
        Ok(account.filter(|_| proved))
    }
}
