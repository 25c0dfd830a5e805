//! The buyer's cart.

use axum::Json;
use axum::extract::State as AxumState;
use chassis::auth::Principal;
use chassis::db::{self, Client};
use chassis::http::{Json as Body, Path, Problem};
use garde::Validate;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::cart::{Cart, MAX_LINES, NotAdmitted, admits};
use crate::sku::Sku;
use crate::state::State;
use crate::store;

/// How many of a product the buyer wants.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct Wanted {
    #[garde(range(min = 1, max = 99))]
    #[schema(minimum = 1, maximum = 99)]
    quantity: i32,
}

/// The buyer's cart at today's prices.
#[utoipa::path(get, path = "/cart", operation_id = "read_cart", tag = "cart", security(("bearer" = [])),
    responses(
        (status = 200, description = "The cart", body = Cart),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`: try again after Retry-After", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read(
    AxumState(state): AxumState<State>,
    buyer: Principal,
) -> Result<Json<Cart>, Problem> {
    let connection = state.db.get().await?;
    priced(&connection, buyer.id).await
}

/// Puts a product into the cart, or changes how many of it are wanted. A cart holds up to 50 products of one currency.
#[utoipa::path(put, path = "/cart/items/{sku}", operation_id = "put_cart_item", tag = "cart", security(("bearer" = [])),
    params(("sku" = String, Path)), request_body = Wanted,
    responses(
        (status = 200, description = "The cart", body = Cart),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`unknown_sku`: no such product was ever sold", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`offer_removed`, `cart_full` or `mixed_currencies`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`: try again after Retry-After", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_item(
    AxumState(state): AxumState<State>,
    buyer: Principal,
    Path(sku): Path<Sku>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Cart>, Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let offer = store::offers::find(&tx, &sku)
        .await?
        .ok_or_else(|| unknown_sku(&sku))?;
    store::cart::lock(&tx, buyer.id).await?;
    let lines = store::cart::lines(&tx, buyer.id).await?;
    admits(&lines, &offer).map_err(|refusal| not_admitted(&sku, refusal))?;
    store::cart::put(&tx, buyer.id, &sku, wanted.quantity).await?;
    let cart = priced(&tx, buyer.id).await?;
    tx.commit().await?;
    Ok(cart)
}

/// Takes a product out of the cart; it is no error when it is not there.
#[utoipa::path(delete, path = "/cart/items/{sku}", operation_id = "remove_cart_item", tag = "cart", security(("bearer" = [])),
    params(("sku" = String, Path)),
    responses(
        (status = 200, description = "The cart", body = Cart),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`: try again after Retry-After", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn remove_item(
    AxumState(state): AxumState<State>,
    buyer: Principal,
    Path(sku): Path<Sku>,
) -> Result<Json<Cart>, Problem> {
    let connection = state.db.get().await?;
    store::cart::remove(&connection, buyer.id, &sku).await?;
    priced(&connection, buyer.id).await
}

async fn priced(client: &impl Client, buyer: Uuid) -> Result<Json<Cart>, Problem> {
    let lines = store::cart::lines(client, buyer).await?;
    Cart::priced(lines).map(Json).map_err(|e| {
        Problem::invalid(
            "total_too_large",
            format!("The cart cannot be added up: {e}."),
        )
    })
}

fn unknown_sku(sku: &Sku) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_sku",
        format!("There is no product {sku}."),
    )
}

fn not_admitted(sku: &Sku, refusal: NotAdmitted) -> Problem {
    match refusal {
        NotAdmitted::Removed => {
            Problem::conflict("offer_removed", format!("{sku} is no longer sold."))
        }
        NotAdmitted::CartFull => Problem::conflict(
            "cart_full",
            format!("A cart holds at most {MAX_LINES} products."),
        ),
        NotAdmitted::OtherCurrency(currency) => Problem::conflict(
            "mixed_currencies",
            format!(
                "The cart holds prices in {}. Order these first, or take them out.",
                currency.code()
            ),
        ),
    }
}
