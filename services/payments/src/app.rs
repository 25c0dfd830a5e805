//! What every handler and the poller work with.

use axum::extract::FromRef;
use chassis::auth::ApiToken;
use chassis::db::Db;

use crate::metrics::Metrics;
use crate::provider::simulator::Simulator;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) provider: Simulator,
    pub(crate) metrics: Metrics,
    /// What callers must show.
    pub(crate) token: ApiToken,
}

impl FromRef<App> for ApiToken {
    fn from_ref(app: &App) -> Self {
        app.token.clone()
    }
}
