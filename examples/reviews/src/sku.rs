//! The name of a product. What search and orders refuse today, such as `import`, may stand in events of their earlier versions.

use std::error::Error;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{FromSql, Type};
use utoipa::ToSchema;

const MAX_LENGTH: usize = 64;
const PATTERN: &str = "^[A-Za-z0-9._-]+$";

/// 1 to 64 of ASCII letters, digits, `.`, `_` and `-`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = PATTERN, "minLength" = 1, "maxLength" = MAX_LENGTH))]
#[schema(value_type = String, example = "mug-blue", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
pub(crate) struct Sku(String);

impl Sku {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sku {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=MAX_LENGTH).contains(&text.len()) && text.chars().all(is_plain) {
            Ok(Self(text))
        } else {
            Err("a sku is 1 to 64 letters, digits, '.', '_' or '-'")
        }
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl<'a> FromSql<'a> for Sku {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(String::from_sql(kind, raw)?.try_into()?)
    }

    fn accepts(kind: &Type) -> bool {
        <String as FromSql>::accepts(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_short_and_plain() {
        for good in ["a", "mug-blue", "A.b_c-9", &"x".repeat(64)] {
            assert!(Sku::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(Sku::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
