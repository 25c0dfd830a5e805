//! A product of the catalogue and what makes one valid.

use std::collections::BTreeMap;
use std::fmt;

use crate::picture::{MOST, Picture};
use garde::Validate;
use iso_currency::Currency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// What names a product: 1 to 64 of `A-Z a-z 0-9 . _ -`, but none of `import`, `.` and `..`, which stand for something else
/// in a path.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = SKU_PATTERN, "minLength" = 1, "maxLength" = Sku::LONGEST))]
#[schema(value_type = String, example = "LAMP-0001", min_length = 1, max_length = 64, pattern = "^(\\.{0,2}[A-Za-z0-9_-]|\\.{3})[A-Za-z0-9._-]*$")]
pub(crate) struct Sku(String);

/// Without look-ahead, which many languages do not have; so it does not leave out `import`.
const SKU_PATTERN: &str = r"^(\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$";

/// In the place of a sku in a path these are something else: the import, the folder itself, the folder above.
const RESERVED: [&str; 3] = ["import", ".", ".."];

impl Sku {
    const LONGEST: usize = 64;

    /// Checks `text`; the error is a sentence for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fits = (1..=Self::LONGEST).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !fits {
            return Err(
                "a sku is 1 to 64 letters, digits, dots, dashes and underscores".to_owned(),
            );
        }
        if RESERVED.contains(&text) {
            return Err(format!(
                "{text} cannot be a sku: it means something else in a path"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sku {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
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

/// The ISO 4217 code of a currency with a minor unit: `EUR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Z]{3}$"))]
#[schema(value_type = String, example = "EUR", pattern = "^[A-Z]{3}$")]
pub(crate) struct CurrencyCode(String);

impl CurrencyCode {
    /// A code that was checked before it was stored.
    pub(crate) fn stored(code: String) -> Self {
        Self(code)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<CurrencyCode> for String {
    fn from(code: CurrencyCode) -> Self {
        code.0
    }
}

impl TryFrom<String> for CurrencyCode {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        match Currency::from_code(&code) {
            // Gold, test codes and the like have no minor unit, so nobody could pay in them.
            Some(currency) if currency.exponent().is_none() => Err(format!(
                "{code} has no minor unit, so nothing can be sold in it"
            )),
            Some(_) => Ok(Self(code)),
            None => Err("a currency is an ISO 4217 code such as EUR".to_owned()),
        }
    }
}

/// The highest price, in minor units: the most that payments takes at once.
const HIGHEST: i64 = 9_999_999_999;

/// An amount in minor units: 1999 EUR is 19.99 €.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Money {
    /// 1 to 9 999 999 999 minor units.
    #[garde(range(min = 1, max = HIGHEST))]
    #[schema(minimum = 1, maximum = 9_999_999_999_i64, example = 1999)]
    pub(crate) amount: i64,
    #[garde(skip)]
    pub(crate) currency: CurrencyCode,
}

/// What a product is, but for its sku: the body of a `PUT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductBody {
    #[garde(length(chars, min = 1, max = 200), custom(one_line))]
    #[schema(min_length = 1, max_length = 200, example = "Oak Desk Lamp")]
    pub(crate) title: String,
    #[garde(length(chars, max = 5000), custom(text))]
    #[schema(max_length = 5000, example = "A warm light for late work.")]
    pub(crate) description: String,
    #[garde(length(chars, min = 1, max = 100), custom(one_line))]
    #[schema(min_length = 1, max_length = 100, example = "Nordlys")]
    pub(crate) brand: String,
    #[garde(length(chars, min = 1, max = 100), custom(one_line))]
    #[schema(min_length = 1, max_length = 100, example = "Lighting")]
    pub(crate) category: String,
    #[garde(dive)]
    pub(crate) price: Money,
    #[serde(default)]
    #[garde(length(max = 50), custom(short_texts))]
    #[schema(schema_with = attributes)]
    pub(crate) attributes: BTreeMap<String, String>,
    /// The first one is shown in lists.
    #[serde(default)]
    #[garde(length(max = MOST), dive)]
    #[schema(max_items = 10)]
    pub(crate) pictures: Vec<Picture>,
}

/// What [`short_texts`] checks: a derive knows no bounds of their own for names and values.
fn attributes() -> Object {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new()
        .description(Some(
            "Names with values. Values are searched like the description.",
        ))
        .property_names(Some(text().min_length(Some(1)).max_length(Some(50))))
        .additional_properties(Some(text().max_length(Some(200))))
        .max_properties(Some(50))
        .build()
}

/// A product as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) sku: Sku,
    pub(crate) body: ProductBody,
}

fn one_line(value: &str, _: &()) -> garde::Result {
    if value.trim().is_empty() {
        return Err(garde::Error::new("must not be blank"));
    }
    if value.chars().any(char::is_control) {
        return Err(garde::Error::new("must not hold control characters"));
    }
    Ok(())
}

pub(crate) fn text(value: &str, _: &()) -> garde::Result {
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if value.chars().any(odd) {
        return Err(garde::Error::new(
            "must not hold control characters other than line ends and tabs",
        ));
    }
    Ok(())
}

fn short_texts(value: &BTreeMap<String, String>, context: &()) -> garde::Result {
    for (name, value) in value {
        if !(1..=50).contains(&name.chars().count()) {
            return Err(garde::Error::new("names must have 1 to 50 characters"));
        }
        if value.chars().count() > 200 {
            return Err(garde::Error::new("values must have at most 200 characters"));
        }
        one_line(name, context)?;
        text(value, context)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_price_can_be_paid() {
        let contract = chassis::testing::contract("payments");
        let most = &contract["components"]["schemas"]["Money"]["properties"]["amount"]["maximum"];
        assert_eq!(most, HIGHEST);
    }

    fn body(change: impl FnOnce(&mut ProductBody)) -> Result<(), garde::Report> {
        let mut body = ProductBody {
            title: "Oak Desk Lamp".into(),
            description: "A warm light.\nFor late work.".into(),
            brand: "Nordlys".into(),
            category: "Lighting".into(),
            price: Money {
                amount: 1999,
                currency: CurrencyCode("EUR".into()),
            },
            attributes: BTreeMap::from([("wood".into(), "oak".into())]),
            pictures: Vec::new(),
        };
        change(&mut body);
        body.validate()
    }

    #[test]
    fn a_sku_is_1_to_64_plain_characters() {
        for good in ["a", "LAMP-0001", "a.b_c-9", &"x".repeat(64)] {
            assert!(Sku::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\0", &"x".repeat(65)] {
            assert!(Sku::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_means_something_else_in_a_path_is_no_sku() {
        for bad in RESERVED {
            assert!(Sku::parse(bad).is_err(), "{bad}");
        }
        for good in ["Import", "imports", "...", "..a", ".a", "-"] {
            assert!(Sku::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_currency_is_an_iso_code() {
        assert!(CurrencyCode::try_from("EUR".to_owned()).is_ok());
        assert!(CurrencyCode::try_from("EURO".to_owned()).is_err());
        assert!(CurrencyCode::try_from("eur".to_owned()).is_err());
    }

    #[test]
    fn nothing_is_sold_that_cannot_be_paid() {
        for amount in [1, 9_999_999_999] {
            assert!(body(|b| b.price.amount = amount).is_ok(), "{amount}");
        }
        for amount in [i64::MIN, -1, 0, 10_000_000_000] {
            assert!(body(|b| b.price.amount = amount).is_err(), "{amount}");
        }
        for code in ["XAU", "XXX", "XTS"] {
            assert!(CurrencyCode::try_from(code.to_owned()).is_err(), "{code}");
        }
        assert!(CurrencyCode::try_from("JPY".to_owned()).is_ok());
    }

    #[test]
    fn each_field_has_its_limits() {
        assert!(body(|_| {}).is_ok());
        assert!(body(|b| b.title = "x".repeat(201)).is_err());
        assert!(body(|b| b.title = " ".into()).is_err());
        assert!(body(|b| b.title = "a\0b".into()).is_err());
        assert!(body(|b| b.description = "a\0b".into()).is_err());
        assert!(body(|b| b.description = "x".repeat(5001)).is_err());
        assert!(body(|b| b.brand = String::new()).is_err());
        assert!(body(|b| b.category = "a\nb".into()).is_err());
        assert!(
            body(|b| b.attributes = (0..51).map(|n| (n.to_string(), String::new())).collect())
                .is_err()
        );
        assert!(body(|b| drop(b.attributes.insert(String::new(), "x".into()))).is_err());
        assert!(body(|b| drop(b.attributes.insert("x".into(), "\0".into()))).is_err());
    }
}
