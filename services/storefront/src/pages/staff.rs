//! Pages for staff: who has the role `admin`. To anybody else there is nothing here.

mod import;
mod mails;
mod orders;
mod product;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::{State, go_to};
use crate::failure::Failure;
use crate::visitor::{Member, Visitor};

pub(super) fn routes() -> Router<State> {
    let import = Router::new()
        .route("/staff/import", get(import::form).post(import::import))
        .layer(DefaultBodyLimit::max(import::LIMIT));
    Router::new()
        .route("/staff", get(async || go_to("/staff/orders")))
        .route("/staff/orders", get(orders::list))
        .route("/staff/products/new", get(product::new))
        .route("/staff/products", post(product::save))
        .route("/staff/products/{sku}", get(product::edit))
        .route("/staff/products/{sku}/remove", post(product::remove))
        .route("/staff/products/{sku}/stock", post(product::count))
        .route("/staff/mails", get(mails::list))
        .route("/staff/mails/{id}/retry", post(mails::retry))
        .merge(import)
}

/// Whoever asks, if that is staff.
fn staff(visitor: &Visitor) -> Result<&Member, Failure> {
    let member = visitor.known()?;
    member
        .filter(|member| member.is_staff)
        .ok_or(Failure::NotFound)
}
