//! The keys with which every service checks access tokens by itself.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::http::Preconditions;
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::State;

/// How long a copy of the keys may be used without asking. Whoever meets a token of another key asks at once.
const CACHE_CONTROL: &str = "public, max-age=300";

// These two describe for the OpenAPI document what the JWT library writes.

/// A JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037).
#[derive(Serialize, ToSchema)]
#[schema(as = JsonWebKeySet)]
pub(crate) struct Description {
    keys: Vec<KeyDescription>,
}

/// A public key. `kid` is its thumbprint (RFC 7638).
#[derive(Serialize, ToSchema)]
#[schema(as = JsonWebKey)]
pub(crate) struct KeyDescription {
    #[schema(example = "OKP")]
    kty: String,
    #[schema(example = "Ed25519")]
    crv: String,
    #[schema(example = "EdDSA")]
    alg: String,
    #[schema(example = "sig")]
    r#use: String,
    kid: String,
    x: String,
}

/// The public keys of access tokens. May be cached for five minutes; `If-None-Match` is answered.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "sessions", security(()),
    responses(
        (status = 200, description = "The keys", body = Description),
        (status = 304, description = "The copy with this ETag is current"),
    ))]
pub(crate) async fn public_keys(state: State, preconditions: Preconditions) -> Response {
    let ids: Vec<_> = state
        .signer
        .public_keys()
        .keys
        .iter()
        .filter_map(|key| key.common.key_id.as_deref())
        .collect();
    let tag = format!("\"{}\"", ids.join("."));
    let cache: [(HeaderName, String); 2] = [
        (header::CACHE_CONTROL, CACHE_CONTROL.to_owned()),
        (header::ETAG, tag.clone()),
    ];
    // Ids are base64url, so the quotes make a well-formed tag of them.
    let is_known = tag.parse().is_ok_and(|tag| preconditions.is_known_as(&tag));
    if is_known {
        (StatusCode::NOT_MODIFIED, cache).into_response()
    } else {
        (cache, axum::Json(state.signer.public_keys())).into_response()
    }
}
