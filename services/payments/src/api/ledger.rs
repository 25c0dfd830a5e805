//! `/ledger`: the balances.

use axum::extract::State;
use chassis::auth::Trusted;
use chassis::http::Problem;

use crate::app::App;
use crate::ledger::Ledger;
use crate::store::ledger;

/// Read the balances of the double-entry ledger.
#[utoipa::path(
    get,
    path = "/ledger",
    tag = "ledger",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "All accounts, and whether debits equal credits", body = Ledger),
        (status = 401, description = "unauthenticated", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "unavailable, overloaded, schema_behind", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(_: Trusted, State(app): State<App>) -> Result<axum::Json<Ledger>, Problem> {
    Ok(axum::Json(ledger::read(&app.db.get().await?).await?))
}
