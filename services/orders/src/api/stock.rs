//! Stock: what is on the shelf and what of it can be ordered.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as AxumState;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use chassis::auth::WithRole;
use chassis::db;
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
use chassis::http::{Json as Body, Path, Preconditions, Problem, Query, body_problem, etag};
use garde::Validate;
use http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
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
    /// As the `ETag` has it, for `If-Match`.
    version: i64,
}

impl StockView {
    fn new(sku: Sku, stock: Stock) -> Self {
        Self {
            sku,
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            available: stock.available(),
            version: stock.version,
        }
    }
}

/// The units of a product, as they were set.
#[derive(Serialize, ToSchema)]
pub(super) struct StockSet {
    #[serde(flatten)]
    stock: StockView,
    /// Whether a product with just this sku, in this case, is on offer. Without one nobody can order the units.
    on_offer: bool,
}

/// What is on the shelf now.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct OnHand {
    #[garde(range(min = 0, max = MAX_ON_HAND))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    on_hand: i32,
}

/// How many units of a product there are. Needs no token.
#[utoipa::path(get, path = "/stock/{sku}", operation_id = "read_stock", tag = "stock", security(()),
    params(("sku" = Sku, Path), ("If-None-Match" = Option<String>, Header, nullable = false, description = "Versions that the caller has already")),
    responses(
        (status = 200, description = "The stock of the product", body = StockView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The caller has this version"),
        (status = 404, description = "`not_found`: its stock was never set", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn read(
    AxumState(state): AxumState<State>,
    Path(sku): Path<Sku>,
    preconditions: Preconditions,
) -> Result<Response, Problem> {
    let connection = state.db.get().await?;
    let stock = store::stock::find(&connection, &sku)
        .await?
        .ok_or_else(|| Problem::not_found(format!("The stock of {sku} was never set.")))?;
    if preconditions.is_known(stock.version) {
        return Ok((StatusCode::NOT_MODIFIED, etag(stock.version)).into_response());
    }
    Ok(view(sku, stock).into_response())
}

/// Whose stock to read.
#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// These products; may be repeated.
    #[garde(length(min = 1, max = 100))]
    #[param(min_items = 1, max_items = 100)]
    sku: Vec<Sku>,
}

/// The units of some products.
#[derive(Serialize, ToSchema)]
pub(super) struct StockList {
    items: Vec<StockView>,
}

/// How many units of each of some products there are; one whose stock was never set is left out. Needs no token.
#[utoipa::path(get, path = "/stock", operation_id = "list_stock", tag = "stock", security(()), params(Which),
    responses(
        (status = 200, description = "The stock of the products, by sku", body = StockList),
        (status = 422, description = "`invalid` with the parameters", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn list(
    AxumState(state): AxumState<State>,
    Query(which): Query<Which>,
) -> Result<Json<StockList>, Problem> {
    let connection = state.db.get().await?;
    let skus: Vec<_> = which.sku.iter().map(Sku::as_str).collect();
    let found = store::stock::find_all(&connection, &skus).await?;
    let mut items: Vec<_> = found
        .into_iter()
        .map(|(sku, stock)| StockView::new(sku, stock))
        .collect();
    items.sort_by(|one, other| one.sku.as_str().cmp(other.sku.as_str()));
    Ok(Json(StockList { items }))
}

/// A stock-take: sets how many units are on the shelf now, the reserved ones among them. Needs the role `admin`.
///
/// Units that are sold between the count and this request come back with it. Whoever counts reads the stock first and sends
/// its `ETag` as `If-Match`: a stock that has changed since is left alone.
#[utoipa::path(put, path = "/stock/{sku}", operation_id = "set_stock", tag = "stock", security(("bearer" = [])),
    params(("sku" = Sku, Path), ("If-Match" = Option<String>, Header, nullable = false, description = "Set only if the stock is at this version"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "`*`: set only if it was never set")),
    request_body = OnHand,
    responses(
        (status = 200, description = "The stock of the product", body = StockSet, headers(("ETag" = String, description = "Its version"))),
        Unauthenticated,
        (status = 400, description = "`malformed_json`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no sku is written like this", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`below_reserved`: more is reserved for orders", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`: units were reserved, sold or counted meanwhile", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn set(
    AxumState(state): AxumState<State>,
    _: WithRole<Admin>,
    Path(sku): Path<Sku>,
    preconditions: Preconditions,
    Body(wanted): Body<OnHand>,
) -> Result<Tagged<StockSet>, Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let current = store::stock::lock(&tx, &[sku.as_str()]).await?;
    preconditions.check_write(
        &format!("The stock of {sku}"),
        current.get(&sku).map(|stock| stock.version),
    )?;
    let wanted = [(sku.clone(), wanted.on_hand)].into();
    let counted = store::stock::set_on_hand(&tx, &wanted).await?;
    let offer = store::offers::find(&tx, &sku).await?;
    let on_offer = offer.is_some_and(|offer| !offer.removed);
    tx.commit().await?;
    match counted.get(&sku) {
        Some(Count::Changed(stock) | Count::Unchanged(stock)) => {
            let (tag, Json(stock)) = view(sku, *stock);
            Ok((tag, Json(StockSet { stock, on_offer })))
        }
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
/// `If-Match`. After a 503 some lines may be applied. Lines whose sku no product has, perhaps because of its case, are applied
/// and listed as `not_on_offer`. Needs the role `admin`.
#[utoipa::path(post, path = "/stock/import", operation_id = "import_stock", tag = "stock", security(("bearer" = [])),
    request_body(content = Option<String>, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What became of the lines", body = Imported),
        (status = 400, description = "`malformed_body`: no UTF-8", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 10 000 lines or 2 MiB", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn import(
    AxumState(state): AxumState<State>,
    _: WithRole<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Imported>, Problem> {
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

type Tagged<T> = ([(HeaderName, String); 1], Json<T>);

fn view(sku: Sku, stock: Stock) -> Tagged<StockView> {
    (etag(stock.version), Json(StockView::new(sku, stock)))
}
