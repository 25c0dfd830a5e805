//! The service's own settings.

use chassis::{Env, SettingError};
use url::Url;

pub struct Settings {
    /// Whose keys access tokens are checked with.
    pub(crate) users_url: Url,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        let hint = "the base URL of the service users, like http://users:8080";
        Ok(Self {
            users_url: env.required("USERS_URL", hint)?,
        })
    }
}
