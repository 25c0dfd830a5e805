//! Amounts as people read them.

use iso_currency::Currency;
use serde::Deserialize;

/// An amount in minor units of its currency, as events carry it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Money {
    pub(crate) amount: i64,
    /// ISO 4217 code.
    pub(crate) currency: String,
}

/// An amount that cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum MoneyError {
    #[error("{0:?} is no ISO 4217 currency")]
    UnknownCurrency(String),
    #[error("{0} times {1} is more than an amount can be")]
    TooMuch(i64, u32),
}

impl Money {
    /// The amount `quantity` times.
    pub(crate) fn times(&self, quantity: u32) -> Result<Self, MoneyError> {
        Ok(Self {
            amount: self
                .amount
                .checked_mul(i64::from(quantity))
                .ok_or(MoneyError::TooMuch(self.amount, quantity))?,
            currency: self.currency.clone(),
        })
    }

    /// `19.99 EUR`, with as many decimals as the currency has.
    pub(crate) fn to_text(&self) -> Result<String, MoneyError> {
        let currency = Currency::from_code(&self.currency)
            .ok_or_else(|| MoneyError::UnknownCurrency(self.currency.clone()))?;
        // Currencies without an exponent are not paid with (gold, test codes): whole units.
        let decimals = usize::from(currency.exponent().unwrap_or(0));
        let digits = format!(
            "{:0width$}",
            self.amount.unsigned_abs(),
            width = decimals + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let sign = if self.amount < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        Ok(format!(
            "{sign}{whole}{point}{fraction} {}",
            currency.code()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(amount: i64, currency: &str) -> Result<String, MoneyError> {
        Money {
            amount,
            currency: currency.to_owned(),
        }
        .to_text()
    }

    #[test]
    fn an_amount_has_the_decimals_of_its_currency() {
        assert_eq!(text(1999, "EUR").unwrap(), "19.99 EUR");
        assert_eq!(text(5, "EUR").unwrap(), "0.05 EUR");
        assert_eq!(text(0, "EUR").unwrap(), "0.00 EUR");
        assert_eq!(text(-1050, "USD").unwrap(), "-10.50 USD");
        assert_eq!(text(1500, "JPY").unwrap(), "1500 JPY");
        assert_eq!(text(1500, "KWD").unwrap(), "1.500 KWD");
        assert_eq!(text(i64::MIN, "EUR").unwrap(), "-92233720368547758.08 EUR");
    }

    #[test]
    fn an_unknown_currency_and_too_large_a_product_are_errors() {
        assert_eq!(
            text(1, "XYZ1"),
            Err(MoneyError::UnknownCurrency("XYZ1".to_owned()))
        );
        let much = Money {
            amount: i64::MAX,
            currency: "EUR".to_owned(),
        };
        assert_eq!(much.times(2), Err(MoneyError::TooMuch(i64::MAX, 2)));
    }
}
