//! The name of a product.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const MAX_LENGTH: usize = 64;

/// 1 to 64 of ASCII letters, digits, `.`, `_` and `-`, as search has it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "mug-blue", pattern = "^[A-Za-z0-9._-]{1,64}$")]
#[schemars(with = "String")]
pub(crate) struct Sku(String);

/// A text that is no SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sku is 1 to 64 letters, digits, '.', '_' or '-'")]
pub(crate) struct NoSku;

impl Sku {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sku {
    type Error = NoSku;

    fn try_from(text: String) -> Result<Self, NoSku> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=MAX_LENGTH).contains(&text.len()) && text.chars().all(is_plain) {
            Ok(Self(text))
        } else {
            Err(NoSku)
        }
    }
}

impl FromStr for Sku {
    type Err = NoSku;

    fn from_str(text: &str) -> Result<Self, NoSku> {
        text.to_owned().try_into()
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_short_and_plain() {
        for good in ["a", "0", "-", "mug-blue", "A.b_c-9", &"x".repeat(64)] {
            assert!(good.parse::<Sku>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<Sku>().is_err(), "{bad}");
        }
    }
}
