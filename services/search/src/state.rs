//! What the handlers of requests share.

use std::sync::Arc;

use axum::extract::FromRef;
use chassis::auth::Verifier;
use chassis::db::Db;
use tokio::sync::Notify;

use crate::index::ProductIndex;
use crate::metrics::Metrics;
use crate::work_queue::WorkQueue;

#[derive(Clone)]
pub struct State {
    pub(crate) db: Db,
    pub(crate) verifier: Verifier,
    pub(crate) index: ProductIndex,
    pub(crate) searches: WorkQueue,
    pub(crate) metrics: Metrics,
    /// Tells this replica's index of a write without the way through the database.
    pub(crate) wrote: Arc<Notify>,
}

impl FromRef<State> for Verifier {
    fn from_ref(state: &State) -> Self {
        state.verifier.clone()
    }
}
