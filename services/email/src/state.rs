//! What the handlers of requests share.

use axum::extract::FromRef;
use chassis::auth::Verifier;
use chassis::db::Db;

#[derive(Clone, FromRef)]
pub struct State {
    pub(crate) db: Db,
    pub(crate) verifier: Verifier,
}
