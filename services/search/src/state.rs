//! What the handlers of requests share.

use std::sync::Arc;

use axum::extract::FromRef;
use chassis::CancellationToken;
use chassis::auth::Verifier;
use chassis::db::Db;
use chassis::http::Places;
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
    /// Tells those who watch that this replica has heard of a change.
    pub(crate) news: Arc<Notify>,
    /// Places for streams.
    pub(crate) streams: Places,
    /// Cancelled when the process is told to stop.
    pub(crate) stop: CancellationToken,
}

impl FromRef<State> for Verifier {
    fn from_ref(state: &State) -> Self {
        state.verifier.clone()
    }
}
