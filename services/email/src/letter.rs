//! What a mail says, before it is rendered. Every field is ready to be shown.

use serde::Serialize;
use uuid::Uuid;

use crate::mail::MailKind;

/// The content of one mail. No field holds what a buyer has chosen: an address is not confirmed, and may be a stranger's.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Letter {
    /// Greets somebody who has made an account.
    Welcome,
    OrderConfirmed(OrderConfirmed),
    OrderCancelled(OrderCancelled),
    OrderRefunded(OrderRefunded),
}

/// Confirms an order.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OrderConfirmed {
    pub(crate) number: String,
    pub(crate) items: Vec<Item>,
    pub(crate) total: String,
}

/// One line of an order.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Item {
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) line_total: String,
}

/// Says that an order was cancelled, and why.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OrderCancelled {
    pub(crate) number: String,
    pub(crate) reason: &'static str,
    pub(crate) total: String,
}

/// Says that money was given back.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OrderRefunded {
    pub(crate) number: String,
    pub(crate) amount: String,
    pub(crate) refunded: String,
    pub(crate) total: String,
}

impl Letter {
    pub(crate) fn kind(&self) -> MailKind {
        match self {
            Self::Welcome => MailKind::Welcome,
            Self::OrderConfirmed(_) => MailKind::OrderConfirmed,
            Self::OrderCancelled(_) => MailKind::OrderCancelled,
            Self::OrderRefunded(_) => MailKind::OrderRefunded,
        }
    }
}

/// What a buyer can read out on the telephone: the last eight digits of the order's id, which are its random part.
pub(crate) fn order_number(order_id: Uuid) -> String {
    let text = order_id.simple().to_string();
    text[text.len() - 8..].to_uppercase()
}

/// The longest line that is shown, in characters.
const LONGEST_LINE: usize = 200;

/// `text` on one line, at most 200 characters: control characters (line ends too) and runs of white space become one space.
/// Titles and subjects pass through here, so that no text of a stranger can add a header or a line of its own.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_control() || c.is_whitespace() || is_format(c))
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(LONGEST_LINE).collect()
}

/// Characters that are not seen but turn the direction of the text around them or break its line.
fn is_format(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_line() {
        assert_eq!(
            one_line("Eve\r\nBcc: all@shop.example\r\n\r\nbody"),
            "Eve Bcc: all@shop.example body"
        );
        assert_eq!(one_line("  Zoë \t Müller\u{0} "), "Zoë Müller");
        assert_eq!(one_line("a\u{202e}b\u{2028}c"), "a b c");
        assert_eq!(one_line(&"x".repeat(5000)).len(), 200);
        assert_eq!(one_line("\n"), "");
    }

    #[test]
    fn an_order_has_a_short_number() {
        let id = Uuid::from_u128(0x0199_abcd_0000_7000_8000_0000_dead_beef);
        assert_eq!(order_number(id), "DEADBEEF");
    }
}
