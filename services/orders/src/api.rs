//! The HTTP API.

mod cart;
mod orders;
mod stock;

use axum::extract::DefaultBodyLimit;
use chassis::auth::Role;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::State;

/// Who counts the stock.
pub(crate) struct Admin;

impl Role for Admin {
    const NAME: &'static str = "admin";
}

pub(crate) fn routes() -> OpenApiRouter<State> {
    let import = OpenApiRouter::new()
        .routes(routes!(stock::import))
        .layer(DefaultBodyLimit::max(stock::IMPORT_LIMIT));
    OpenApiRouter::new()
        .routes(routes!(cart::read))
        .routes(routes!(cart::put_item, cart::remove_item))
        .routes(routes!(orders::place, orders::list))
        .routes(routes!(orders::read))
        .routes(routes!(orders::timeline))
        .routes(routes!(stock::read, stock::set))
        .merge(import)
}
