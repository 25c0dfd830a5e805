//! Settings come from the environment alone. A wrong one ends the start with a sentence that names it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use secrecy::SecretString;

/// At the end of the name of a variable that names a file with a secret.
const FILE: &str = "_FILE";

/// The environment of a process, or of a test.
#[derive(Clone, Default)]
pub struct Env {
    variables: BTreeMap<String, String>,
}

/// One sentence: which setting, what is wrong, what to give instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingError {
    #[error("setting {name} is missing: give {hint}")]
    Missing { name: &'static str, hint: String },
    #[error("setting {name} is wrong: {cause}")]
    Wrong { name: &'static str, cause: String },
    #[error("setting {name} names the file {path}, which cannot be read: {cause}")]
    Unreadable {
        name: String,
        path: String,
        cause: String,
    },
}

impl Env {
    /// The environment of this process. Variables that are no UTF-8 are left out.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        }
    }

    /// What one of several services in a process reads: `ORDERS__NAME` for `orders`, else `NAME`.
    pub(crate) fn of_service(&self, service: &str) -> Self {
        let prefix = format!("{}__", service.to_ascii_uppercase());
        let mut variables = self.variables.clone();
        for (name, value) in &self.variables {
            let Some(name) = name.strip_prefix(&prefix) else {
                continue;
            };
            // A secret of its own, however it is given, takes the place of the one of all.
            let other = match name.strip_suffix(FILE) {
                Some(secret) => secret.to_owned(),
                None => format!("{name}{FILE}"),
            };
            if !self.variables.contains_key(&format!("{prefix}{other}")) {
                variables.remove(&other);
            }
            variables.insert(name.to_owned(), value.clone());
        }
        Self { variables }
    }

    /// An environment of exactly these variables; later ones win.
    pub fn of<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        }
    }

    /// A setting that must be there. `hint` says what to give: "the base URL of users, like http://users:8080".
    pub fn required<T>(&self, name: &'static str, hint: &str) -> Result<T, SettingError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.optional(name)?.ok_or_else(|| missing(name, hint))
    }

    /// A setting that may be missing; an empty value counts as missing.
    pub fn optional<T>(&self, name: &'static str) -> Result<Option<T>, SettingError>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.text(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|e: T::Err| wrong(name, e)),
        }
    }

    /// A setting with a default.
    pub fn or<T>(&self, name: &'static str, default: T) -> Result<T, SettingError>
    where
        T: FromStr,
        T::Err: Display,
    {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// A secret that must be there, as `NAME` or as the content of the file that `NAME_FILE` names.
    pub fn secret(&self, name: &'static str, hint: &str) -> Result<SecretString, SettingError> {
        self.optional_secret(name)?
            .ok_or_else(|| missing(name, hint))
    }

    /// A secret that may be missing, as `NAME` or as the content of the file that `NAME_FILE` names.
    pub fn optional_secret(
        &self,
        name: &'static str,
    ) -> Result<Option<SecretString>, SettingError> {
        if let Some(text) = self.text(name) {
            return Ok(Some(text.to_owned().into()));
        }
        let file_name = format!("{name}{FILE}");
        let Some(path) = self.text(&file_name) else {
            return Ok(None);
        };
        match std::fs::read_to_string(path) {
            Ok(content) => {
                let text = content.trim_end_matches(['\r', '\n']);
                Ok((!text.is_empty()).then(|| text.to_owned().into()))
            }
            Err(e) => Err(SettingError::Unreadable {
                name: file_name,
                path: path.to_owned(),
                cause: e.to_string(),
            }),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }
}

fn missing(name: &'static str, hint: &str) -> SettingError {
    SettingError::Missing {
        name,
        hint: hint.to_owned(),
    }
}

/// For a service's own checks of a setting's value.
pub fn wrong(name: &'static str, cause: impl Display) -> SettingError {
    SettingError::Wrong {
        name,
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_missing_setting_is_named_with_what_to_give() {
        let error = Env::default()
            .required::<u16>("SMTP_PORT", "a port number")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "setting SMTP_PORT is missing: give a port number"
        );
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_cause() {
        let error = Env::of([("SMTP_PORT", "many")])
            .or::<u16>("SMTP_PORT", 25)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "setting SMTP_PORT is wrong: invalid digit found in string"
        );
    }

    #[test]
    fn a_secret_may_stand_in_a_file_and_its_line_end_is_not_part_of_it() {
        let file = std::env::temp_dir().join(format!("secret-{}", uuid::Uuid::now_v7()));
        std::fs::write(&file, "s3cret\n").unwrap();
        let env = Env::of([("API_TOKEN_FILE", file.to_str().unwrap())]);
        assert_eq!(
            env.secret("API_TOKEN", "a token").unwrap().expose_secret(),
            "s3cret"
        );
        std::fs::write(&file, "\n").unwrap();
        let empty = env.optional_secret("API_TOKEN").unwrap();
        assert!(empty.is_none(), "an empty file is no secret");
        std::fs::remove_file(&file).unwrap();
        assert!(
            env.secret("API_TOKEN", "a token")
                .unwrap_err()
                .to_string()
                .starts_with("setting API_TOKEN_FILE names the file")
        );
    }

    #[test]
    fn an_empty_setting_counts_as_missing() {
        assert_eq!(
            Env::of([("LOG", "")]).optional::<String>("LOG").unwrap(),
            None
        );
    }
}
