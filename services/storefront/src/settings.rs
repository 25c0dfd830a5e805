//! What the pages must be told.

use chassis::settings::wrong;
use chassis::{Env, SettingError};
use iso_currency::Currency;
use url::Url;

pub struct Settings {
    pub(crate) users_url: Url,
    pub(crate) search_url: Url,
    pub(crate) orders_url: Url,
    /// `CURRENCY`: of prices that a visitor types, and by which products are sorted.
    pub(crate) currency: Currency,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        let code: String = env.or("CURRENCY", "EUR".to_owned())?;
        Ok(Self {
            users_url: url(env, "USERS_URL", "users")?,
            search_url: url(env, "SEARCH_URL", "search")?,
            orders_url: url(env, "ORDERS_URL", "orders")?,
            currency: Currency::from_code(&code)
                .ok_or_else(|| wrong("CURRENCY", "it must be an ISO 4217 code like EUR"))?,
        })
    }
}

fn url(env: &Env, name: &'static str, service: &str) -> Result<Url, SettingError> {
    env.required(
        name,
        &format!("the base URL of {service}, like http://{service}:8080"),
    )
}
