//! What the handlers of requests share.

use axum::extract::FromRef;
use chassis::auth::Verifier;
use chassis::db::Db;

use crate::server_state::ServerState;

#[derive(Clone)]
pub struct State {
    pub(crate) db: Db,
    pub(crate) verifier: Verifier,
    pub(crate) server: ServerState,
    /// Whether a mail server is configured.
    pub(crate) sends: bool,
}

impl FromRef<State> for Verifier {
    fn from_ref(state: &State) -> Self {
        state.verifier.clone()
    }
}
