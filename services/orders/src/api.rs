//! The HTTP API.

mod cart;
mod orders;
mod stock;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::State;

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
