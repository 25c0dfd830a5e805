//! The service's own settings.

use std::path::PathBuf;

use chassis::{Env, SettingError};
use url::Url;

pub struct Settings {
    /// Whose keys access tokens are checked with.
    pub(crate) users_url: Url,
    /// Where the index of this replica lies. Of this process alone: what it finds there it removes.
    pub(crate) index_dir: PathBuf,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        Ok(Self {
            users_url: env.required(
                "USERS_URL",
                "the base URL of users, like http://demo-users:8080",
            )?,
            index_dir: env.or("INDEX_DIR", PathBuf::from("/var/lib/search"))?,
        })
    }
}
