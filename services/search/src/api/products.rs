//! One product: read, write, remove.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use chassis::auth::Principal;
use chassis::db;
use chassis::http::{IfMatch, Json, Path, Problem, etag};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::ADMIN;
use crate::product::{Product, ProductBody, Sku};
use crate::state;
use crate::store::products::{self, Stored, Written};

/// A product of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub(crate) struct View {
    #[schema(example = "LAMP-0001")]
    sku: String,
    #[serde(flatten)]
    body: ProductBody,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl From<Stored> for View {
    fn from(stored: Stored) -> Self {
        Self {
            sku: stored.sku,
            body: stored.body,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

type Tagged = ([(HeaderName, String); 1], axum::Json<View>);

fn tagged(stored: Stored) -> Tagged {
    (etag(stored.version), axum::Json(stored.into()))
}

fn no_such(sku: &str) -> Problem {
    Problem::not_found(format!("There is no product {sku}."))
}

/// Reads a product from the catalogue itself, with its version as `ETag`.
#[utoipa::path(get, path = "/products/{sku}", tag = "catalogue", params(("sku" = String, Path, description = "The product")),
    responses(
        (status = 200, description = "The product", body = View, headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn read(
    State(state): State<state::State>,
    Path(sku): Path<String>,
) -> Result<Tagged, Problem> {
    let known = Sku::parse(&sku).map_err(|_| no_such(&sku))?;
    let connection = state.db.get().await?;
    let stored = products::find(&connection, &known).await?;
    stored.map(tagged).ok_or_else(|| no_such(&sku))
}

/// Creates a product or replaces it whole. One that is already as given is left alone: no new version, no event.
#[utoipa::path(put, path = "/products/{sku}", tag = "catalogue", security(("bearer" = [])), request_body = ProductBody,
    params(
        ("sku" = String, Path, description = "1 to 64 of A-Z a-z 0-9 . _ -"),
        ("If-Match" = Option<String>, Header, description = "Write only if the product is at this version"),
    ),
    responses(
        (status = 200, description = "Replaced, or as it was", body = View, headers(("ETag" = String, description = "Its version"))),
        (status = 201, description = "Created", body = View, headers(("ETag" = String, description = "Its version"))),
        (status = 400, description = "`malformed_json`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn write(
    State(state): State<state::State>,
    principal: Principal,
    Path(sku): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ProductBody>,
) -> Result<(StatusCode, Tagged), Problem> {
    principal.require_role(ADMIN)?;
    let sku = Sku::parse(&sku).map_err(|e| Problem::invalid("invalid", format!("{e}.")))?;
    let (written, stored) = store(&state, &IfMatch::of(&headers), Product { sku, body }).await?;
    let status = match written {
        Some(Written::Created) => StatusCode::CREATED,
        Some(Written::Updated) | None => StatusCode::OK,
    };
    tracing::info!(
        sku = stored.sku,
        version = stored.version,
        ?written,
        "product put"
    );
    Ok((status, tagged(stored)))
}

async fn store(
    state: &state::State,
    if_match: &IfMatch,
    product: Product,
) -> Result<(Option<Written>, Stored), Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    if_match.check(
        &format!("The product {}", product.sku),
        products::lock(&tx, &product.sku).await?,
    )?;
    let written: HashMap<_, _> = products::upsert(&tx, std::slice::from_ref(&product)).await?;
    let stored = products::find(&tx, &product.sku).await?.ok_or_else(|| {
        Problem::conflict(
            "conflict",
            "The product was removed at the same moment. Send it again.",
        )
    })?;
    tx.commit().await?;
    state.wrote.notify_one();
    Ok((written.get(product.sku.as_str()).copied(), stored))
}

/// Removes a product from the catalogue and from every search.
#[utoipa::path(delete, path = "/products/{sku}", tag = "catalogue", security(("bearer" = [])),
    params(
        ("sku" = String, Path, description = "The product"),
        ("If-Match" = Option<String>, Header, description = "Remove only if the product is at this version"),
    ),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `schema_behind`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn remove(
    State(state): State<state::State>,
    principal: Principal,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    principal.require_role(ADMIN)?;
    let known = Sku::parse(&sku).map_err(|_| no_such(&sku))?;
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let current = products::lock(&tx, &known).await?;
    if current.is_none() {
        return Err(no_such(&sku));
    }
    IfMatch::of(&headers).check(&format!("The product {sku}"), current)?;
    products::remove(&tx, &known).await?;
    tx.commit().await?;
    state.wrote.notify_one();
    tracing::info!(sku, "product removed");
    Ok(StatusCode::NO_CONTENT)
}
