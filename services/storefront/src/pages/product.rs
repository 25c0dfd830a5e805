//! One product.

use askama::Template;
use axum::extract::{Path, State as Of};
use axum::response::Response;

use super::{State, page};
use crate::failure::Failure;
use crate::guest_cart::is_sku;
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::search::Product;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "product.html")]
struct ProductPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'a str,
    product: &'a Product,
    /// Units that can be ordered; `None` where orders is away.
    available: Option<u32>,
}

pub(super) async fn show(
    Of(state): Of<State>,
    visitor: Visitor,
    Path(sku): Path<String>,
) -> Result<Response, Failure> {
    if !is_sku(&sku) {
        return Err(Failure::NotFound);
    }
    let (product, available) =
        tokio::join!(state.search.product(&sku), state.orders.available(&sku));
    let product = product.map_err(|error| Failure::of(Service::Search, &error))?;
    Ok(page(&ProductPage {
        v: &visitor,
        t: visitor.texts,
        title: &product.title,
        product: &product,
        available: available.ok(),
    }))
}
