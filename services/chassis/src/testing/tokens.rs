//! Access tokens as the users service would issue them, and the keys to check them with.

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use uuid::Uuid;

use crate::application::ISSUER;
use crate::auth::{Claims, JWKS_PATH};

const KEY_ID: &str = "test";

/// PKCS#8 of an Ed25519 key (RFC 8410): the fixed head, then 32 bytes. Only tests know this one.
fn key() -> EncodingKey {
    let head = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    EncodingKey::from_ed_der(&[head.as_slice(), &[7; 32]].concat())
}

/// An access token for `user`, valid for a quarter of an hour.
pub fn token(user: Uuid, roles: &[&str]) -> String {
    crate::process::install_crypto();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let claims = Claims {
        sub: user,
        iss: ISSUER.to_owned(),
        aud: ISSUER.to_owned(),
        exp: now + 900,
        iat: now,
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
    };
    let header = Header {
        kid: Some(KEY_ID.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    encode(&header, &claims, &key()).expect("a token")
}

/// Serves the key that [`token`] signs with, and returns the base URL for `USERS_URL`.
pub async fn jwks_server() -> String {
    crate::process::install_crypto();
    let mut jwk = Jwk::from_encoding_key(&key(), Algorithm::EdDSA).expect("a key");
    jwk.common.key_id = Some(KEY_ID.to_owned());
    let keys = JwkSet { keys: vec![jwk] };
    let routes = axum::Router::new().route(
        JWKS_PATH,
        axum::routing::get(move || std::future::ready(axum::Json(keys.clone()))),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}
