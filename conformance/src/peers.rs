//! The services that the one under test calls: users publishes its keys, everybody else is away.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use axum::Json;
use axum::http::StatusCode;
use axum::routing::get;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use uuid::Uuid;

const KEY_ID: &str = "conformance";
/// Issuer and audience of access tokens.
const ISSUER: &str = "shop";

pub(crate) struct Peers {
    pub(crate) address: SocketAddr,
}

impl Peers {
    pub(crate) async fn start(host: IpAddr) -> Result<Self> {
        let mut jwk =
            Jwk::from_encoding_key(&key(), Algorithm::EdDSA).context("the suite's key")?;
        jwk.common.key_id = Some(KEY_ID.to_owned());
        let keys = JwkSet { keys: vec![jwk] };
        let routes = axum::Router::new()
            .route(
                "/.well-known/jwks.json",
                get(move || std::future::ready(Json(keys.clone()))),
            )
            .fallback(async || StatusCode::SERVICE_UNAVAILABLE);
        let listener = tokio::net::TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address })
    }
}

/// PKCS#8 of an Ed25519 key (RFC 8410): the fixed head, then 32 bytes. Nothing else trusts it.
fn key() -> EncodingKey {
    let head = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    EncodingKey::from_ed_der(&[head.as_slice(), &[42; 32]].concat())
}

/// An access token of somebody with the role admin, valid for a quarter of an hour.
pub(crate) fn admin_token() -> Result<String> {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let claims = json!({
        "sub": Uuid::now_v7(), "iss": ISSUER, "aud": ISSUER, "iat": now, "exp": now + 900, "roles": ["admin"],
    });
    let header = Header {
        kid: Some(KEY_ID.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    encode(&header, &claims, &key()).context("the suite's token")
}
