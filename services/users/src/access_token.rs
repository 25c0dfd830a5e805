//! Access tokens: JWTs signed with Ed25519, which every service checks offline with the published keys.

use chassis::application::ISSUER;
use chassis::auth::Claims;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::account::Role;

/// How long an access token is good for. It cannot be taken back, so it is short; the refresh token renews it.
pub(crate) const LIFETIME: Duration = Duration::minutes(15);

/// The 32 random bytes of an Ed25519 private key.
pub(crate) type Seed = SecretBox<[u8; 32]>;

/// PKCS #8 version 1 around an Ed25519 seed: the DER of everything before the 32 bytes (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Signs access tokens and knows the public half of its key.
pub(crate) struct Signer {
    key: EncodingKey,
    header: Header,
    public_keys: JwkSet,
}

impl Signer {
    /// The signer of a seed. The key's id is its thumbprint (RFC 7638), so the same seed has the same id in every replica.
    pub(crate) fn new(seed: &Seed) -> Result<Self, jsonwebtoken::errors::Error> {
        let mut der = Vec::with_capacity(PKCS8_PREFIX.len() + 32);
        der.extend(PKCS8_PREFIX);
        der.extend(seed.expose_secret());
        let key = EncodingKey::from_ed_der(&der);

        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA)?;
        let key_id = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);

        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key_id);
        Ok(Self {
            key,
            header,
            public_keys: JwkSet { keys: vec![jwk] },
        })
    }

    /// A token for `user`, good for [`LIFETIME`] from `now`.
    pub(crate) fn sign(
        &self,
        user: Uuid,
        roles: &[Role],
        now: OffsetDateTime,
    ) -> Result<SecretString, jsonwebtoken::errors::Error> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: user,
            roles: roles
                .iter()
                .map(|role| role.into_str().to_owned())
                .collect(),
            iat: now.unix_timestamp(),
            exp: (now + LIFETIME).unix_timestamp(),
        };
        encode(&self.header, &claims, &self.key).map(SecretString::from)
    }

    /// The keys with which anyone can check the tokens.
    pub(crate) fn public_keys(&self) -> &JwkSet {
        &self.public_keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
    use serde_json::{Value, json};

    fn signer(byte: u8) -> Signer {
        Signer::new(&Seed::new(Box::new([byte; 32]))).unwrap()
    }

    fn check(token: &SecretString, keys: &JwkSet) -> Result<Value, jsonwebtoken::errors::Error> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        let key = DecodingKey::from_jwk(&keys.keys[0])?;
        decode::<Value>(token.expose_secret(), &key, &validation).map(|data| data.claims)
    }

    #[test]
    fn the_public_key_of_a_known_seed() {
        // RFC 8032, 7.1, test 1 (and RFC 8037, A.3, for the thumbprint of that very key).
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap();
        let signer = Signer::new(&Seed::new(Box::new(seed.try_into().unwrap()))).unwrap();
        assert_eq!(
            serde_json::to_value(signer.public_keys()).unwrap(),
            json!({"keys": [{
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            }]})
        );
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let (signer, user, now) = (signer(1), Uuid::now_v7(), OffsetDateTime::now_utc());
        let token = signer.sign(user, &[Role::Buyer, Role::Admin], now).unwrap();
        let claims = check(&token, signer.public_keys()).unwrap();
        assert_eq!(claims["sub"], json!(user));
        assert_eq!(claims["roles"], json!(["buyer", "admin"]));
        assert_eq!(claims["exp"], json!(now.unix_timestamp() + 900));
        let header = decode_header(token.expose_secret()).unwrap();
        assert_eq!(header.kid, signer.public_keys().keys[0].common.key_id);
    }

    #[test]
    fn an_old_token_and_one_of_another_key_are_worthless() {
        let (ours, other, user, now) = (
            signer(1),
            signer(2),
            Uuid::now_v7(),
            OffsetDateTime::now_utc(),
        );
        let old = ours
            .sign(user, &[Role::Buyer], now - LIFETIME - Duration::minutes(5))
            .unwrap();
        assert!(check(&old, ours.public_keys()).is_err());
        let foreign = other.sign(user, &[Role::Buyer], now).unwrap();
        assert!(check(&foreign, ours.public_keys()).is_err());
    }
}
