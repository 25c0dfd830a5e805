//! Money: whole minor units and a currency. Arithmetic is checked; two currencies never meet.

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
    #[schema(value_type = String, example = "EUR")]
    #[schemars(with = "String")]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
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
