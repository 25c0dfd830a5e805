//! The buyer's cart.

use axum::Json;
use axum::extract::State as AxumState;
use chassis::auth::Principal;
use chassis::db;
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
use chassis::http::{Json as Body, Path, Preconditions, Problem, etag};
use garde::Validate;
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::cart::{Cart, Contents, MAX_LINES, NotAdmitted, admits};
use crate::sku::Sku;
use crate::state::State;
use crate::store;
use crate::store::cart::LockedCart;

/// How many of a product the buyer wants.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct Wanted {
    #[garde(range(min = 1, max = 99))]
    #[schema(minimum = 1, maximum = 99)]
    quantity: i32,
}

/// The buyer's cart at today's prices, with what is available of each product now.
#[utoipa::path(get, path = "/cart", operation_id = "read_cart", tag = "cart", security(("bearer" = [])),
    responses(
        (status = 200, description = "The cart", body = Cart, headers(("ETag" = String, description = "The version of what is in the cart; prices and units change without it"))),
        Unauthenticated,
        Common,
    ))]
pub(super) async fn read(
    AxumState(state): AxumState<State>,
    buyer: Principal,
) -> Result<Tagged, Problem> {
    let connection = state.db.get().await?;
    priced(store::cart::read(&connection, buyer.id).await?)
}

/// Puts a product into the cart, or changes how many of it are wanted. A cart holds up to 50 products of one currency.
///
/// More may be wanted than is available now: the line says how much is, and an order is refused until there is enough.
#[utoipa::path(put, path = "/cart/items/{sku}", operation_id = "put_cart_item", tag = "cart", security(("bearer" = [])),
    params(("sku" = Sku, Path), ("If-Match" = Option<String>, Header, nullable = false, description = "Change only if the cart is at this version")),
    request_body = Wanted,
    responses(
        (status = 200, description = "The cart", body = Cart, headers(("ETag" = String, description = "The version of what is in the cart"))),
        (status = 400, description = "`malformed_json`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 404, description = "`unknown_sku`: no such product was ever sold; `not_found`: no sku is written like this", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`offer_removed`, `cart_full` or `mixed_currencies`", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`: the cart was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn put_item(
    AxumState(state): AxumState<State>,
    buyer: Principal,
    Path(sku): Path<Sku>,
    preconditions: Preconditions,
    Body(wanted): Body<Wanted>,
) -> Result<Tagged, Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let offer = store::offers::find(&tx, &sku)
        .await?
        .ok_or_else(|| unknown_sku(&sku))?;
    let cart = LockedCart::lock(&tx, buyer.id).await?;
    let contents = expected(&preconditions, cart.read().await?)?;
    admits(&contents.lines, &offer).map_err(|refusal| not_admitted(&sku, refusal))?;
    cart.put(&sku, wanted.quantity).await?;
    let contents = cart.read().await?;
    tx.commit().await?;
    priced(contents)
}

/// Takes a product out of the cart. A product that is not in it, because it was taken out or ordered meanwhile, is 404.
#[utoipa::path(delete, path = "/cart/items/{sku}", operation_id = "remove_cart_item", tag = "cart", security(("bearer" = [])),
    params(("sku" = Sku, Path), ("If-Match" = Option<String>, Header, nullable = false, description = "Change only if the cart is at this version")),
    responses(
        (status = 200, description = "The cart without it", body = Cart, headers(("ETag" = String, description = "The version of what is in the cart"))),
        Unauthenticated,
        (status = 404, description = "`not_in_cart`; `not_found`: no sku is written like this", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`: the cart was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn remove_item(
    AxumState(state): AxumState<State>,
    buyer: Principal,
    Path(sku): Path<Sku>,
    preconditions: Preconditions,
) -> Result<Tagged, Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let cart = LockedCart::lock(&tx, buyer.id).await?;
    expected(&preconditions, cart.read().await?)?;
    if !cart.remove(&sku).await? {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not_in_cart",
            format!("{sku} is not in the cart: it was taken out or ordered meanwhile."),
        ));
    }
    let contents = cart.read().await?;
    tx.commit().await?;
    priced(contents)
}

type Tagged = ([(HeaderName, String); 1], Json<Cart>);

/// The contents, if they are what the request says of them.
fn expected(preconditions: &Preconditions, contents: Contents) -> Result<Contents, Problem> {
    preconditions.check_write("The cart", Some(contents.version))?;
    Ok(contents)
}

fn priced(contents: Contents) -> Result<Tagged, Problem> {
    let cart = Cart::priced(contents).map_err(|e| {
        Problem::invalid(
            "total_too_large",
            format!("The cart cannot be added up: {e}."),
        )
    })?;
    Ok((etag(cart.version), Json(cart)))
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
