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
/// How long access tokens are valid, in seconds.
const VALID: i64 = 900;
/// Of the key that is published, and of one that is not.
const SEED: [u8; 32] = [42; 32];
const ANOTHER_SEED: [u8; 32] = [43; 32];

pub(crate) struct Peers {
    pub(crate) address: SocketAddr,
}

impl Peers {
    pub(crate) async fn start(host: IpAddr) -> Result<Self> {
        let mut jwk =
            Jwk::from_encoding_key(&key(SEED), Algorithm::EdDSA).context("the suite's key")?;
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

/// What is wrong with an access token, if anything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Good,
    /// Signed with a key that users never had, under the name of one that it has.
    OfAnotherKey,
    Expired,
    OfAnotherIssuer,
    ForAnotherAudience,
}

/// An access token of somebody with the role admin, valid for a quarter of an hour unless it is to be wrong.
pub(crate) fn admin_token(token: Token) -> Result<String> {
    let mut issued = time::OffsetDateTime::now_utc().unix_timestamp();
    let (mut issuer, mut audience, mut seed) = (ISSUER, ISSUER, SEED);
    match token {
        Token::Good => {}
        Token::OfAnotherKey => seed = ANOTHER_SEED,
        Token::Expired => issued -= 2 * VALID,
        Token::OfAnotherIssuer => issuer = "another",
        Token::ForAnotherAudience => audience = "another",
    }
    let claims = json!({
        "sub": Uuid::now_v7(), "iss": issuer, "aud": audience, "iat": issued, "exp": issued + VALID, "roles": ["admin"],
    });
    let header = Header {
        kid: Some(KEY_ID.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    encode(&header, &claims, &key(seed)).context("the suite's token")
}

/// PKCS#8 of an Ed25519 key (RFC 8410): the fixed head, then the seed. Nothing else trusts it.
fn key(seed: [u8; 32]) -> EncodingKey {
    let head = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    EncodingKey::from_ed_der(&[head.as_slice(), &seed].concat())
}
