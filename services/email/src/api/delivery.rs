//! `/delivery`: whether mails go out.

use axum::Json;
use axum::extract::State as Shared;
use chassis::auth::WithRole;
use chassis::http::Problem;
use chassis::http::responses::{Common, Unauthenticated};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Admin;
use crate::server_state::{Stopped, Trouble};
use crate::state::State;
use crate::store::mails;

/// Whether mails go out, as the replica that answers sees the mail server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Delivery {
    state: DeliveryState,
    /// Why no mail goes out, where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Trouble>,
    /// The mail server's reply code, where it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 400, maximum = 599)]
    smtp_code: Option<u16>,
    /// Since when none goes out.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    since: Option<OffsetDateTime>,
    /// Mails that wait to go out, of all replicas.
    #[schema(minimum = 0)]
    waiting: i64,
    /// When the oldest of them was queued.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    oldest: Option<OffsetDateTime>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeliveryState {
    /// The mail server takes mails, as far as is known.
    Working,
    /// It takes none: all wait, and are sent when it does again.
    Stopped,
    /// No mail server is configured: mails are kept.
    Keeping,
}

/// Whether mails go out
#[utoipa::path(get, path = "/delivery", tag = "delivery", operation_id = "read_delivery", security(("bearer" = [])), responses(
    (status = 200, description = "How the delivery stands", body = Delivery),
    Unauthenticated,
    (status = 403, description = "`forbidden`: needs the role admin", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(crate) async fn read(
    Shared(state): Shared<State>,
    _: WithRole<Admin>,
) -> Result<Json<Delivery>, Problem> {
    let waiting = mails::waiting(&state.db.get().await?).await?;
    let stopped = state.server.stopped();
    Ok(Json(Delivery {
        state: match (state.sends, &stopped) {
            (false, _) => DeliveryState::Keeping,
            (true, Some(_)) => DeliveryState::Stopped,
            (true, None) => DeliveryState::Working,
        },
        reason: stopped.as_ref().map(|Stopped { trouble, .. }| *trouble),
        smtp_code: stopped
            .as_ref()
            .and_then(|Stopped { smtp_code, .. }| *smtp_code),
        since: stopped.map(|Stopped { since, .. }| since),
        waiting: waiting.count,
        oldest: waiting.oldest,
    }))
}
