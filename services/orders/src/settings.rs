//! What orders must be told.

use chassis::{Env, SettingError};
use secrecy::SecretString;
use url::Url;

pub struct Settings {
    pub(crate) users_url: Url,
    pub(crate) payments_url: Url,
    pub(crate) payments_token: SecretString,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        Ok(Self {
            users_url: env
                .required("USERS_URL", "the base URL of users, like http://users:8080")?,
            payments_url: env.required(
                "PAYMENTS_URL",
                "the base URL of payments, like http://payments:8080",
            )?,
            payments_token: env.secret("PAYMENTS_TOKEN", "the API_TOKEN of payments")?,
        })
    }
}
