//! Reads JSON and query strings into types, and says in plain words what does not fit and where.
//!
//! A deserializer of our own for three reasons. An object is an object: serde's derived code also takes a list of the
//! fields in their order. What is wrong is said in the words of JSON, not of Rust. And a query parameter that is given
//! without a value is refused, whatever its type: whoever leaves out a value by mistake must not get everything.

mod deserializer;
mod misfit;
mod value;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use self::value::Value;
use super::problem::FieldError;

/// Why a text could not be read into a type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON, for this reason.
    #[error("this is no JSON: {0}")]
    Syntax(String),
    /// It is JSON, and this part of it is not what is asked for.
    #[error("{} {}", if .0.pointer.is_empty() { "this" } else { &.0.pointer }, .0.detail)]
    Field(FieldError),
}

/// Reads a JSON document.
///
/// # Errors
/// When it is no JSON, or not the JSON that `T` is read from.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.trim_ascii().is_empty() {
        return Err(DecodeError::Syntax("it is empty".to_owned()));
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| DecodeError::Syntax(e.to_string()))?;
    T::deserialize(value).map_err(|misfit| DecodeError::Field(misfit.into()))
}

/// Reads a JSON value that was parsed before.
///
/// # Errors
/// When it is not the JSON that `T` is read from.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, DecodeError> {
    let value = Value::deserialize(value)
        .map_err(|e: serde_json::Error| DecodeError::Syntax(e.to_string()))?;
    T::deserialize(value).map_err(|misfit| DecodeError::Field(misfit.into()))
}

/// Reads a query string. A parameter may be repeated where `T` has a list.
pub(super) fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, FieldError> {
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let values = parameters.entry(name.into_owned()).or_default();
        values.push(value.into_owned());
    }
    let parameters = parameters
        .into_iter()
        .map(|(name, values)| (name, Value::Parameter(values)))
        .collect();
    T::deserialize(Value::Object(parameters)).map_err(FieldError::from)
}

#[cfg(test)]
mod tests;
