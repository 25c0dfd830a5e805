//! What the handlers of requests share.

use axum::extract::FromRef;
use chassis::auth::Verifier;
use chassis::db::Db;

#[derive(Clone)]
pub struct State {
    pub(crate) db: Db,
    pub(crate) verifier: Verifier,
}

impl FromRef<State> for Verifier {
    fn from_ref(state: &State) -> Self {
        state.verifier.clone()
    }
}
