//! What the handlers work with.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use chassis::{auth::Verifier, db::Db};

use crate::{access_token::Signer, limits::Limits, metrics::Metrics, password::Hasher};

/// Handlers take it as an argument of its own: `state: State`.
#[derive(Clone, FromRequestParts)]
#[from_request(via(axum::extract::State), state(State))]
pub struct State {
    pub(crate) db: Db,
    pub(crate) hasher: Hasher,
    pub(crate) signer: Arc<Signer>,
    pub(crate) verifier: Verifier,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
}

impl FromRef<State> for Verifier {
    fn from_ref(state: &State) -> Self {
        state.verifier.clone()
    }
}
