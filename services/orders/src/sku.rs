//! The name of a product.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{FromSql, Type};
use utoipa::ToSchema;

const MAX_LENGTH: usize = 64;
/// Without look-ahead, which many languages do not have; so it does not leave out `import`.
const SKU_PATTERN: &str = r"^(\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$";
/// Paths with these in the place of a sku are something else: an import, the folder itself, the folder above.
const NOT_IN_A_PATH: [&str; 3] = ["import", ".", ".."];

/// 1 to 64 of ASCII letters, digits, `.`, `_` and `-`, as search has it; not `import`, `.` or `..`, which no path can name.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "mug-blue", min_length = 1, max_length = 64, pattern = "^(\\.{0,2}[A-Za-z0-9_-]|\\.{3})[A-Za-z0-9._-]*$")]
#[schemars(with = "String", extend("pattern" = SKU_PATTERN, "minLength" = 1, "maxLength" = MAX_LENGTH))]
pub(crate) struct Sku(String);

/// A text that is no SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sku is 1 to 64 letters, digits, '.', '_' or '-', and none of 'import', '.' and '..'")]
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
        let is_short = (1..=MAX_LENGTH).contains(&text.len());
        if is_short && text.chars().all(is_plain) && !NOT_IN_A_PATH.contains(&text.as_str()) {
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

/// What is stored is not judged anew: earlier versions took names that are refused today.
impl<'a> FromSql<'a> for Sku {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(String::from_sql(kind, raw)?))
    }

    fn accepts(kind: &Type) -> bool {
        <String as FromSql>::accepts(kind)
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
    use garde::rules::pattern::regex::Regex;
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn a_sku_is_short_and_plain() {
        for good in [
            "a",
            "0",
            "-",
            "...",
            "Import",
            "imports",
            "mug-blue",
            "A.b_c-9",
            &"x".repeat(64),
        ] {
            assert!(good.parse::<Sku>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<Sku>().is_err(), "{bad}");
        }
    }

    /// Both contracts say the same of a sku as what reads one, except that no pattern without look-ahead leaves out `import`.
    #[test]
    fn the_contracts_take_what_is_taken_here() {
        let api = serde_json::to_value(Sku::schema()).unwrap();
        let events = serde_json::to_value(schemars::schema_for!(Sku)).unwrap();
        for schema in [&api, &events] {
            assert_eq!(schema["pattern"], SKU_PATTERN);
            assert_eq!(
                (&schema["minLength"], &schema["maxLength"]),
                (&json!(1), &json!(64))
            );
        }
        let pattern = Regex::new(SKU_PATTERN).unwrap();
        let fits = |text: &str| (1..=64).contains(&text.len()) && pattern.is_match(text);
        let long = [64, 65].map(|length| "x".repeat(length));
        let dots = [62, 64, 65].map(|length| ".".repeat(length));
        let ends = [
            ".a", "..a", "...a", "....", ".", "..", "...", "a.", "-", "_.", "a/b", "a b", "", "ä",
            "a\n",
        ];
        for text in long.iter().chain(&dots).map(String::as_str).chain(ends) {
            assert_eq!(fits(text), text.parse::<Sku>().is_ok(), "{text:?}");
        }
        assert!(fits("import") && "import".parse::<Sku>().is_err());
    }

    #[test]
    fn what_no_path_can_name_is_no_sku() {
        for bad in ["import", ".", ".."] {
            assert!(bad.parse::<Sku>().is_err(), "{bad}");
        }
    }
}
