//! The short number of an order, which people read out to one another.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

const DIGITS: usize = 8;

/// The last eight hexadecimal digits of the order's id, which are random: `A72489D4`. Two orders may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "A72489D4", pattern = "^[0-9A-Fa-f]{8}$")]
#[schemars(with = "String", extend("pattern" = "^[0-9A-F]{8}$"))]
pub(crate) struct OrderNumber(u32);

/// A text that is no number of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number of an order is 8 digits from 0 to 9 and A to F")]
pub(crate) struct NoNumber;

impl OrderNumber {
    pub(crate) fn of(order: Uuid) -> Self {
        let [.., a, b, c, d] = *order.as_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }

    /// As it stands at the end of the id.
    pub(crate) fn in_lower_case(self) -> String {
        format!("{:08x}", self.0)
    }
}

impl FromStr for OrderNumber {
    type Err = NoNumber;

    fn from_str(text: &str) -> Result<Self, NoNumber> {
        if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NoNumber);
        }
        u32::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NoNumber)
    }
}

impl TryFrom<String> for OrderNumber {
    type Error = NoNumber;

    fn try_from(text: String) -> Result<Self, NoNumber> {
        text.parse()
    }
}

impl From<OrderNumber> for String {
    fn from(number: OrderNumber) -> Self {
        number.to_string()
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_end_of_the_id() {
        let id = Uuid::from_u128(0x0199_abcd_0000_7000_8000_0000_0ead_beef);
        let number = OrderNumber::of(id);
        assert_eq!(number.to_string(), "0EADBEEF");
        assert!(id.to_string().ends_with(&number.in_lower_case()));
        assert_eq!("0eadBEEF".parse(), Ok(number));
    }

    #[test]
    fn a_text_that_is_none_is_refused() {
        for bad in [
            "",
            "DEADBEE",
            "DEADBEEF0",
            "DEADBEEG",
            "+EADBEEF",
            "DEÄDBEE",
        ] {
            assert_eq!(bad.parse::<OrderNumber>(), Err(NoNumber), "{bad}");
        }
    }
}
