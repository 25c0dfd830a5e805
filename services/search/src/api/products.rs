//! One product: read, write, remove.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::auth::WithRole;
use chassis::db;
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
use chassis::http::{Json, Path, Preconditions, Problem, etag};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Admin;
use crate::picture::Picture;
use crate::product::{Money, Product, ProductBody, Sku};
use crate::state;
use crate::store::products::{self, Stored, Written};

/// Bytes of a product: the longest description and attributes, each character escaped, and some.
pub(crate) const BODY_LIMIT: usize = 256 * 1024;

/// A product of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub(crate) struct View {
    #[schema(value_type = Sku)]
    sku: String,
    title: String,
    description: String,
    brand: String,
    category: String,
    price: Money,
    attributes: BTreeMap<String, String>,
    pictures: Vec<Picture>,
    /// As the `ETag` has it, for `If-Match`.
    version: i64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl From<Stored> for View {
    fn from(stored: Stored) -> Self {
        let ProductBody {
            title,
            description,
            brand,
            category,
            price,
            attributes,
            pictures,
        } = stored.body;
        Self {
            sku: stored.sku,
            title,
            description,
            brand,
            category,
            price,
            attributes,
            pictures,
            version: stored.version,
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

/// Reads a product
///
/// From the catalogue itself, with its version as `ETag`.
#[utoipa::path(get, path = "/products/{sku}", tag = "catalogue", operation_id = "read_product", security(()),
    params(
        ("sku" = Sku, Path, description = "The product"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "Versions that the caller has already"),
    ),
    responses(
        (status = 200, description = "The product", body = View, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The caller has this version"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn read(
    State(state): State<state::State>,
    Path(sku): Path<String>,
    preconditions: Preconditions,
) -> Result<Response, Problem> {
    let known = Sku::parse(&sku).map_err(|_| no_such(&sku))?;
    let connection = state.db.get().await?;
    let stored = products::find(&connection, &known)
        .await?
        .ok_or_else(|| no_such(&sku))?;
    if preconditions.is_known(stored.version) {
        return Ok((StatusCode::NOT_MODIFIED, etag(stored.version)).into_response());
    }
    Ok(tagged(stored).into_response())
}

/// Creates a product or replaces it whole
///
/// One that is already as given is left alone: no new version, no event.
#[utoipa::path(put, path = "/products/{sku}", tag = "catalogue", operation_id = "write_product", security(("bearer" = [])), request_body = ProductBody,
    params(
        ("sku" = Sku, Path, description = "The product"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Write only if the product is at this version"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "`*`: write only if there is no such product yet"),
    ),
    responses(
        (status = 200, description = "Replaced, or as it was", body = View, headers(("ETag" = String, description = "Its version"))),
        (status = 201, description = "Created", body = View, headers(("ETag" = String, description = "Its version"))),
        (status = 400, description = "`malformed_json`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid`", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn write(
    State(state): State<state::State>,
    _: WithRole<Admin>,
    Path(sku): Path<String>,
    preconditions: Preconditions,
    Json(body): Json<ProductBody>,
) -> Result<(StatusCode, Tagged), Problem> {
    let sku = Sku::parse(&sku).map_err(|e| Problem::invalid("invalid", format!("{e}.")))?;
    let (written, stored) = store(&state, &preconditions, Product { sku, body }).await?;
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
    preconditions: &Preconditions,
    product: Product,
) -> Result<(Option<Written>, Stored), Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    preconditions.check_write(
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

/// Removes a product
///
/// From the catalogue and from every search.
#[utoipa::path(delete, path = "/products/{sku}", tag = "catalogue", operation_id = "remove_product", security(("bearer" = [])),
    params(
        ("sku" = Sku, Path, description = "The product"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Remove only if the product is at this version"),
    ),
    responses(
        (status = 204, description = "Removed"),
        Unauthenticated,
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn remove(
    State(state): State<state::State>,
    _: WithRole<Admin>,
    Path(sku): Path<String>,
    preconditions: Preconditions,
) -> Result<StatusCode, Problem> {
    let known = Sku::parse(&sku).map_err(|_| no_such(&sku))?;
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let current = products::lock(&tx, &known).await?;
    if current.is_none() {
        return Err(no_such(&sku));
    }
    preconditions.check_write(&format!("The product {sku}"), current)?;
    products::remove(&tx, &known).await?;
    tx.commit().await?;
    state.wrote.notify_one();
    tracing::info!(sku, "product removed");
    Ok(StatusCode::NO_CONTENT)
}
