//! Amounts as people write them. Amounts are whole minor units; no float ever holds one.

use iso_currency::Currency;
use serde::{Deserialize, Serialize};

use crate::texts::Texts;

/// An amount in minor units, as the services write it: 1999 EUR is 19.99 €.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

impl Money {
    /// As people write it in a language: `€19.99`, `19,99 €`. A currency that nobody knows keeps its code, and its minor units.
    pub(crate) fn shown(&self, texts: &Texts) -> String {
        let known = Currency::from_code(&self.currency);
        let digits = known.and_then(Currency::exponent).unwrap_or(0);
        let symbol = known.map_or_else(|| self.currency.clone(), |c| c.symbol().symbol);
        let number = number(self.amount, u32::from(digits), texts);
        match (texts.symbol_first, symbol.chars().count()) {
            (true, 1) => format!("{symbol}{number}"),
            (true, _) => format!("{symbol}\u{a0}{number}"),
            (false, _) => format!("{number}\u{a0}{symbol}"),
        }
    }

    /// The number alone, as it is typed: `19.99`, `19,99`.
    pub(crate) fn number(&self, texts: &Texts) -> String {
        let known = Currency::from_code(&self.currency);
        let digits = u32::from(known.and_then(Currency::exponent).unwrap_or(0));
        let unit = 10_i64.pow(digits);
        match digits {
            0 => self.amount.to_string(),
            _ => format!(
                "{}{}{:0width$}",
                self.amount / unit,
                texts.decimal,
                self.amount % unit,
                width = digits as usize
            ),
        }
    }

    /// So many of it; `None` where that is more than a number holds.
    pub(crate) fn times(&self, quantity: u32) -> Option<Self> {
        Some(Self {
            amount: self.amount.checked_mul(quantity.into())?,
            currency: self.currency.clone(),
        })
    }
}

fn number(amount: i64, digits: u32, texts: &Texts) -> String {
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (amount.unsigned_abs() / unit, amount.unsigned_abs() % unit);
    let sign = if amount < 0 { "-" } else { "" };
    let whole = grouped(whole, texts.thousands);
    match digits {
        0 => format!("{sign}{whole}"),
        _ => format!(
            "{sign}{whole}{}{rest:0width$}",
            texts.decimal,
            width = digits as usize
        ),
    }
}

fn grouped(whole: u64, separator: char) -> String {
    let digits = whole.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

/// What a person typed as a price, in minor units: `12`, `12.5`, `12,50`. `None` for what is no price.
pub(crate) fn typed(text: &str, currency: Currency) -> Option<i64> {
    let digits = usize::from(currency.exponent().unwrap_or(0));
    let (whole, part) = text
        .trim()
        .split_once(['.', ','])
        .unwrap_or((text.trim(), ""));
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || part.len() > digits {
        return None;
    }
    if !is_number(whole) || !is_number(part) {
        return None;
    }
    format!("{whole}{part:0<digits$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::{ENGLISH, GERMAN};

    fn money(amount: i64, currency: &str) -> Money {
        let currency = currency.to_owned();
        Money { amount, currency }
    }

    #[test]
    fn an_amount_is_written_as_its_language_and_its_currency_do() {
        assert_eq!(money(1999, "EUR").shown(&ENGLISH), "€19.99");
        assert_eq!(money(1999, "EUR").shown(&GERMAN), "19,99\u{a0}€");
        assert_eq!(money(123_456_705, "EUR").shown(&ENGLISH), "€1,234,567.05");
        assert_eq!(
            money(123_456_705, "EUR").shown(&GERMAN),
            "1.234.567,05\u{a0}€"
        );
        assert_eq!(money(1999, "JPY").shown(&ENGLISH), "¥1,999");
        assert_eq!(money(-5, "EUR").shown(&ENGLISH), "€-0.05");
        assert_eq!(money(7, "???").shown(&ENGLISH), "???\u{a0}7");
    }

    #[test]
    fn a_price_is_typed_with_either_comma_and_nothing_else() {
        let typed = |text| typed(text, Currency::EUR);
        assert_eq!(typed(" 12 "), Some(1200));
        assert_eq!(typed("12.5"), Some(1250));
        assert_eq!(typed("12,50"), Some(1250));
        assert_eq!(typed("0.05"), Some(5));
        for wrong in ["", ".5", "12.555", "-1", "1e3", "1234567890", "١٢", "1.2.3"] {
            assert_eq!(typed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_line_that_no_number_holds_is_no_line() {
        assert_eq!(money(2, "EUR").times(3), Some(money(6, "EUR")));
        assert_eq!(money(i64::MAX, "EUR").times(2), None);
    }
}
