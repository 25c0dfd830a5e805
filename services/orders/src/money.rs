//! Money: whole minor units and a currency. Arithmetic is checked; two currencies never meet.

use std::fmt;

use iso_currency::Currency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount in the minor unit of its currency: `{"amount": 1999, "currency": "EUR"}` is 19.99 euros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
pub(crate) struct Money {
    /// Minor units, 0 or more.
    #[schema(minimum = 0, example = 1999)]
    #[schemars(range(min = 0))]
    pub(crate) amount: i64,
    /// ISO 4217 code.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "EUR")]
    #[schemars(with = "String", regex(pattern = "^[A-Z]{3}$"))]
    pub(crate) currency: Currency,
}

/// The most that payments takes at once, in minor units.
const MOST_TO_PAY: i64 = 9_999_999_999;

/// Why amounts could not be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MoneyError {
    #[error("the amount is too large")]
    TooLarge,
    #[error("prices in {} and {} cannot be added", .0.code(), .1.code())]
    MixedCurrencies(Currency, Currency),
}

impl Money {
    pub(crate) fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Other minor units of the same currency.
    pub(crate) fn with(self, amount: i64) -> Self {
        Self { amount, ..self }
    }

    /// The price of `quantity` pieces.
    pub(crate) fn times(self, quantity: i32) -> Result<Self, MoneyError> {
        let amount = self
            .amount
            .checked_mul(i64::from(quantity))
            .ok_or(MoneyError::TooLarge)?;
        Ok(Self { amount, ..self })
    }

    fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies(self.currency, other.currency));
        }
        let amount = self
            .amount
            .checked_add(other.amount)
            .ok_or(MoneyError::TooLarge)?;
        Ok(Self { amount, ..self })
    }

    /// Whether payments takes more at once than this.
    pub(crate) fn is_too_large_to_pay(self) -> bool {
        self.amount > MOST_TO_PAY
    }

    /// Whether there is something to pay, in a currency of which there can be a minor unit: not gold, not a test code.
    pub(crate) fn can_be_charged(self) -> bool {
        self.amount > 0 && self.currency.exponent().is_some()
    }

    /// The sum; `None` of nothing, because nothing has no currency.
    pub(crate) fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Option<Self>, MoneyError> {
        amounts.into_iter().try_fold(None, |sum, amount| match sum {
            None => Ok(Some(amount)),
            Some(sum) => Self::plus(sum, amount).map(Some),
        })
    }
}

/// For people: `19.99 EUR`, `300 JPY`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.exponent().unwrap_or(0);
        let code = self.currency.code();
        let sign = if self.amount < 0 { "-" } else { "" };
        let amount = self.amount.unsigned_abs();
        let unit = 10_u64.pow(decimals.into());
        let (whole, part) = (amount / unit, amount % unit);
        match usize::from(decimals) {
            0 => write!(f, "{sign}{whole} {code}"),
            decimals => write!(f, "{sign}{whole}.{part:0decimals$} {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    /// Payments takes no more at once.
    #[test]
    fn what_can_be_paid_is_what_the_contract_of_payments_says() {
        let contract = chassis::testing::contract("payments");
        let most = &contract["components"]["schemas"]["Money"]["properties"]["amount"]["maximum"];
        assert_eq!(most, MOST_TO_PAY);
    }

    #[test]
    fn the_sum_of_nothing_has_no_currency() {
        assert_eq!(Money::sum([]), Ok(None));
    }

    #[test]
    fn two_currencies_are_never_added() {
        assert_eq!(
            Money::sum([eur(1), Money::new(1, Currency::USD)]),
            Err(MoneyError::MixedCurrencies(Currency::EUR, Currency::USD))
        );
    }

    #[test]
    fn money_is_told_with_the_decimals_of_its_currency() {
        assert_eq!(eur(1999).to_string(), "19.99 EUR");
        assert_eq!(eur(5).to_string(), "0.05 EUR");
        assert_eq!(Money::new(300, Currency::JPY).to_string(), "300 JPY");
        assert_eq!(Money::new(1234, Currency::KWD).to_string(), "1.234 KWD");
        assert_eq!(Money::new(7, Currency::XAU).to_string(), "7 XAU");
    }

    #[test]
    fn money_reads_and_writes_as_amount_and_code() {
        let json = serde_json::json!({"amount": 1999, "currency": "EUR"});
        assert_eq!(serde_json::to_value(eur(1999)).unwrap(), json);
        assert_eq!(serde_json::from_value::<Money>(json).unwrap(), eur(1999));
        assert!(
            serde_json::from_value::<Money>(serde_json::json!({"amount": 1, "currency": "EURO"}))
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn arithmetic_is_exact_or_refused(amounts in proptest::collection::vec((0..=i64::MAX, 1..=99_i32), 1..50)) {
            let exact: i128 = amounts.iter().map(|(a, q)| i128::from(*a) * i128::from(*q)).sum();
            let ours = amounts
                .iter()
                .map(|(a, q)| eur(*a).times(*q))
                .collect::<Result<Vec<_>, _>>()
                .and_then(Money::sum);
            match ours {
                Ok(sum) => prop_assert_eq!(i128::from(sum.unwrap().amount), exact),
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::TooLarge);
                    prop_assert!(exact > i128::from(i64::MAX));
                }
            }
        }
    }
}
