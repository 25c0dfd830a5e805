//! Pages for staff: who has the role `admin`. To anybody else there is nothing here.

mod import;
mod letters;
mod mails;
mod operations;
mod orders;
mod product;
mod refunds;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;
use axum::routing::{get, post};

use super::{State, go_to};
use crate::failure::Failure;
use crate::visitor::{Member, Visitor};

pub(super) fn routes() -> Router<State> {
    let large = Router::new()
        .route("/staff/import", get(import::form).post(import::import))
        .route("/staff/products", post(product::save))
        .layer(DefaultBodyLimit::max(import::FORM_LIMIT));
    Router::new()
        .route("/staff", get(async || go_to("/staff/orders")))
        .route("/staff/orders", get(orders::list))
        .route("/staff/orders/{id}/refunds", post(refunds::refund))
        .route("/staff/products/new", get(product::new))
        .route("/staff/products/{sku}", get(product::edit))
        .route("/staff/products/{sku}/remove", post(product::remove))
        .route("/staff/products/{sku}/stock", post(product::count))
        .route("/staff/mails", get(mails::list))
        .route("/staff/mails/{id}/retry", post(mails::retry))
        .route("/staff/operations", get(operations::show))
        .route("/staff/operations/live", get(operations::follow))
        .route("/staff/letters", get(letters::list))
        .route("/staff/letters/{service}/{id}", get(letters::show))
        .route("/staff/letters/{service}/{id}/retry", post(letters::retry))
        .route(
            "/staff/letters/{service}/{id}/discard",
            post(letters::discard),
        )
        .merge(large)
}

/// Whoever asks, if that is staff. Asked for before a form is read: what strangers send is not kept in memory.
pub(super) struct Staff(Member);

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let visitor = Visitor::from_request_parts(parts, state).await;
        let visitor = visitor.map_err(|_| Failure::Ours)?;
        let member = visitor.known()?.filter(|member| member.is_staff);
        member.cloned().map(Self).ok_or(Failure::NotFound)
    }
}
