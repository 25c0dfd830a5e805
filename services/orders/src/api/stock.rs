//! Stock: what is on the shelf and what of it can be ordered.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as AxumState;
use axum::extract::rejection::BytesRejection;
use chassis::auth::Principal;
use chassis::db;
use chassis::http::{IfMatch, Json as Body, Path, Problem, body_problem, etag};
use garde::Validate;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sku::Sku;
use crate::state::State;
use crate::stock_import::{self, Imported, MAX_ON_HAND};
use crate::store;
use crate::store::stock::{Count, Stock};

/// Bytes of an import: its lines are short.
pub(super) const IMPORT_LIMIT: usize = 2 * 1024 * 1024;

/// The units of a product.
#[derive(Serialize, ToSchema)]
pub(super) struct StockView {
    sku: Sku,
    /// On the shelf, the reserved ones among them.
    on_hand: i32,
    /// Held for orders that are not confirmed yet.
    reserved: i32,
    /// Can be ordered: `on_hand` less `reserved`.
    available: i32,
}

/// What is on the shelf now.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct OnHand {
    #[garde(range(min = 0, max = MAX_ON_HAND))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    on_hand: i32,
}

/// How many units of a product there are. Needs no token.
#[utoipa::path(get, path = "/stock/{sku}", operation_id = "read_stock", tag = "stock", params(("sku" = String, Path)),
    responses(
        (status = 200, description = "The stock of the product", body = StockView, headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "`not_found`: its stock was never set", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`: try again after Retry-After", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read(
    AxumState(state): AxumState<State>,
    Path(sku): Path<Sku>,
) -> Result<Tagged, Problem> {
    let connection = state.db.get().await?;
    let stock = store::stock::find(&connection, &sku)
        .await?
        .ok_or_else(|| Problem::not_found(format!("The stock of {sku} was never set.")))?;
    Ok(view(sku, stock))
}

/// A stock-take: sets how many units are on the shelf now, the reserved ones among them. Needs the role `admin`.
///
/// Units that are sold between the count and this request come back with it. Whoever counts reads the stock first and sends
/// its `ETag` as `If-Match`: a stock that has changed since is left alone.
#[utoipa::path(put, path = "/stock/{sku}", operation_id = "set_stock", tag = "stock", security(("bearer" = [])),
    params(("sku" = String, Path), ("If-Match" = Option<String>, Header, description = "Set only if the stock is at this version")),
    request_body = OnHand,
    responses(
        (status = 200, description = "The stock of the product", body = StockView, headers(("ETag" = String, description = "Its version"))),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`below_reserved`: more is reserved for orders", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`: units were reserved, sold or counted meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`: try again after Retry-After", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn set(
    AxumState(state): AxumState<State>,
    admin: Principal,
    Path(sku): Path<Sku>,
    headers: HeaderMap,
    Body(wanted): Body<OnHand>,
) -> Result<Tagged, Problem> {
    admin.require_role("admin")?;
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let current = store::stock::lock(&tx, &[sku.as_str()]).await?;
    IfMatch::of(&headers).check(
        &format!("The stock of {sku}"),
        current.get(&sku).map(|stock| stock.version),
    )?;
    let wanted = [(sku.clone(), wanted.on_hand)].into();
    let counted = store::stock::set_on_hand(&tx, &wanted).await?;
    tx.commit().await?;
    match counted.get(&sku) {
        Some(Count::Changed(stock) | Count::Unchanged(stock)) => Ok(view(sku, *stock)),
        Some(Count::BelowReserved(stock)) => Err(Problem::conflict(
            "below_reserved",
            stock_import::below_reserved(&sku, *stock),
        )),
        None => Err(Problem::internal("stock that was set is not there")),
    }
}

/// Sets the stock of many products: one JSON object `{"sku": ..., "on_hand": ...}` a line, at most 10 000 lines and 2 MiB.
///
/// Lines that are wrong are named in the answer, the others are applied. Each line is a stock-take: it sets the units that are
/// on the shelf now. Sent again later it brings back what was sold in between; count anew, or set single products with
/// `If-Match`. Needs the role `admin`.
#[utoipa::path(post, path = "/stock/import", operation_id = "import_stock", tag = "stock", security(("bearer" = [])),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What became of the lines", body = Imported),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 10 000 lines or 2 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`: some lines may be applied; send it again after Retry-After if nothing was sold meanwhile", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn import(
    AxumState(state): AxumState<State>,
    admin: Principal,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Imported>, Problem> {
    admin.require_role("admin")?;
    let body = body.map_err(body_problem)?;
    let text = std::str::from_utf8(&body).map_err(|e| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            format!("The body is no UTF-8: {e}."),
        )
    })?;
    stock_import::import(&state.db, text).await.map(Json)
}

type Tagged = ([(HeaderName, String); 1], Json<StockView>);

fn view(sku: Sku, stock: Stock) -> Tagged {
    let view = StockView {
        sku,
        on_hand: stock.on_hand,
        reserved: stock.reserved,
        available: stock.available(),
    };
    (etag(stock.version), Json(view))
}
