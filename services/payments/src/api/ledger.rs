//! `/ledger`: the balances.

use axum::extract::State;
use chassis::auth::Trusted;
use chassis::http::Problem;
use chassis::http::responses::{Common, Unauthenticated};

use crate::app::App;
use crate::ledger::Ledger;
use crate::store::ledger;

/// Read the balances of the double-entry ledger.
#[utoipa::path(
    get,
    path = "/ledger",
    operation_id = "read_ledger",
    tag = "ledger",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "All accounts, and whether debits equal credits", body = Ledger),
        Unauthenticated,
        Common,
    )
)]
pub(super) async fn read(
    _: Trusted,
    State(app): State<App>,
) -> Result<axum::Json<Ledger>, Problem> {
    Ok(axum::Json(ledger::read(&app.db.get().await?).await?))
}
