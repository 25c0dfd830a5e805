//! What orders must be told.

use chassis::settings::wrong;
use chassis::{Env, SettingError};
use secrecy::SecretString;
use url::Url;

use crate::links::LinkTemplates;

pub struct Settings {
    pub(crate) users_url: Url,
    pub(crate) payments_url: Url,
    pub(crate) payments_token: SecretString,
    pub(crate) links: LinkTemplates,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        let settings = Self {
            users_url: env
                .required("USERS_URL", "the base URL of users, like http://users:8080")?,
            payments_url: env.required(
                "PAYMENTS_URL",
                "the base URL of payments, like http://payments:8080, or grpc://payments:8081 to call it over gRPC",
            )?,
            payments_token: env.secret("PAYMENTS_TOKEN", "the API_TOKEN of payments")?,
            links: LinkTemplates::read(env)?,
        };
        let url = &settings.payments_url;
        if !matches!(url.scheme(), "http" | "https" | "grpc") || !url.has_host() {
            let cause = "it must begin with http:// or, to call payments over gRPC, with grpc://, and name a host";
            return Err(wrong("PAYMENTS_URL", cause));
        }
        Ok(settings)
    }
}
