//! The HTTP API.

mod keys;
mod sessions;
mod users;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::State;

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(users::register))
        .routes(routes!(users::me))
        .routes(routes!(sessions::log_in, sessions::log_out))
        .routes(routes!(sessions::refresh))
        .routes(routes!(keys::public_keys))
}
