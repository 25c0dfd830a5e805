//! What the pages must be told.

use chassis::settings::wrong;
use chassis::{Env, SettingError};
use iso_currency::Currency;
use secrecy::SecretString;
use url::Url;

use crate::graphql::Documents;
use crate::operations::Operations;

pub struct Settings {
    pub(crate) users_url: Url,
    /// `USERS_TOKEN` and `ORDERS_TOKEN`: their `PROXY_TOKEN`, which proves that it is the storefront that says who a client is.
    pub(crate) users_token: SecretString,
    pub(crate) orders_token: SecretString,
    pub(crate) search_url: Url,
    pub(crate) orders_url: Url,
    pub(crate) email_url: Url,
    /// `CURRENCY`: of prices that a visitor types, and by which products are sorted.
    pub(crate) currency: Currency,
    /// `GRAPHQL_DOCUMENTS`: `Trusted` answers only those of `contracts/graphql`.
    pub(crate) documents: Documents,
    /// `OPERATED_SHOP`: the Shop that staff see at work, set by the operator.
    pub(crate) operations: Operations,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        let code: String = env.or("CURRENCY", "EUR".to_owned())?;
        Ok(Self {
            users_url: url(env, "USERS_URL", "users")?,
            users_token: env.secret("USERS_TOKEN", "the PROXY_TOKEN of users")?,
            orders_token: env.secret("ORDERS_TOKEN", "the PROXY_TOKEN of orders")?,
            search_url: url(env, "SEARCH_URL", "search")?,
            orders_url: url(env, "ORDERS_URL", "orders")?,
            email_url: url(env, "EMAIL_URL", "email")?,
            operations: Operations::read(env)?,
            documents: env.or("GRAPHQL_DOCUMENTS", Documents::Trusted)?,
            currency: Currency::from_code(&code)
                .ok_or_else(|| wrong("CURRENCY", "it must be an ISO 4217 code like EUR"))?,
        })
    }
}

fn url(env: &Env, name: &'static str, service: &str) -> Result<Url, SettingError> {
    let hint = format!("the base URL of {service}, like http://{service}:8080");
    let url: Url = env.required(name, &hint)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(
            name,
            "it must begin with http:// and name a host: the pages ask over HTTP alone",
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_named() {
        let with = |name: &'static str, value: &'static str| {
            let usual = [
                ("USERS_URL", "http://users:8080"),
                ("SEARCH_URL", "http://search:8080"),
                ("ORDERS_URL", "http://orders:8080"),
                ("EMAIL_URL", "http://email:8080"),
                ("USERS_TOKEN", "between services"),
                ("ORDERS_TOKEN", "between services"),
            ];
            let settings = Settings::read(&Env::of(usual.into_iter().chain([(name, value)])));
            settings.err().map(|error| error.to_string())
        };
        assert_eq!(with("CURRENCY", "USD"), None);
        for (name, value) in [
            ("CURRENCY", "euro"),
            ("SEARCH_URL", "grpc://search:8081"),
            ("USERS_URL", ""),
        ] {
            let error = with(name, value).expect("an error");
            assert!(error.contains(name), "{error}");
        }
    }
}
