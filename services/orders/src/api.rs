//! The HTTP API.

mod cart;
mod orders;
mod refunds;
mod stock;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use chassis::auth::Role;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::State;

/// Who counts the stock and gives money back.
pub(crate) struct Admin;

impl Role for Admin {
    const NAME: &'static str = "admin";
}

/// What the administration port answers.
pub(crate) fn administration(state: State) -> Router {
    let timeline = get(orders::timeline_for_administration);
    Router::new()
        .route("/orders/{id}/timeline", timeline)
        .with_state(state)
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
        .routes(routes!(orders::timelines))
        .routes(routes!(refunds::refund))
        .routes(routes!(stock::list))
        .routes(routes!(stock::read, stock::set))
        .merge(import)
}
