//! Money: whole minor units of an ISO 4217 currency, never a fraction.

use iso_currency::Currency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest amount of one payment, in minor units: 99 999 999.99 of a currency with two decimals.
pub(crate) const MAX_AMOUNT: i64 = 9_999_999_999;

/// An amount in minor units and its currency: 1999 EUR is 19.99 euros.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, garde::Validate, ToSchema, JsonSchema,
)]
pub(crate) struct Money {
    /// Minor units.
    #[garde(range(min = 1, max = MAX_AMOUNT))]
    #[schema(minimum = 0, maximum = 9_999_999_999_i64, example = 1999)]
    #[schemars(range(min = 0, max = MAX_AMOUNT))]
    pub(crate) amount: i64,
    /// ISO 4217 code.
    #[garde(custom(has_minor_units))]
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "EUR")]
    #[schemars(with = "String", regex(pattern = r"^[A-Z]{3}$"))]
    pub(crate) currency: Currency,
}

impl Money {
    /// Other minor units of the same currency.
    pub(crate) fn with(self, amount: i64) -> Self {
        Self { amount, ..self }
    }
}

/// Gold, test codes and the like have no minor unit, so no amount of them can be charged.
fn has_minor_units(currency: &Currency, _: &()) -> garde::Result {
    match currency.exponent() {
        Some(_) => Ok(()),
        None => Err(garde::Error::new(format!(
            "{} has no minor unit and cannot be charged",
            currency.code()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use garde::Validate;

    use super::*;

    fn is_valid(amount: i64, currency: Currency) -> bool {
        Money { amount, currency }.validate().is_ok()
    }

    #[test]
    fn one_minor_unit_to_the_maximum_can_be_charged() {
        assert!(is_valid(1, Currency::EUR));
        assert!(is_valid(MAX_AMOUNT, Currency::JPY));
        for amount in [i64::MIN, -1, 0, MAX_AMOUNT + 1, i64::MAX] {
            assert!(!is_valid(amount, Currency::EUR), "{amount}");
        }
    }

    #[test]
    fn a_currency_without_a_minor_unit_cannot_be_charged() {
        assert!(!is_valid(1, Currency::XAU));
    }

    #[test]
    fn a_code_that_iso_4217_does_not_know_is_refused() {
        let wrong = serde_json::json!({"amount": 1, "currency": "EURO"});
        assert!(serde_json::from_value::<Money>(wrong).is_err());
    }
}
