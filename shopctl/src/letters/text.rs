//! Dead letters for people.

use serde_json::Value;

use super::Letter;
use crate::output::{escaped, escaped_lines, wrapped};

/// All of them, each with its cause below.
pub(super) fn list(letters: &[Letter], services: &[&str]) -> String {
    if letters.is_empty() {
        return format!("There are no dead letters at {}.\n", services.join(", "));
    }
    let width = letters
        .iter()
        .map(|letter| letter.service.len())
        .max()
        .unwrap_or_default();
    let each = letters.iter().map(|letter| {
        let Letter {
            service,
            id,
            subject,
            ..
        } = letter;
        format!(
            "{service:<width$}  {id}  {}\n{}",
            escaped(subject),
            wrapped(&history(letter), "  ")
        )
    });
    each.collect()
}

fn history(letter: &Letter) -> String {
    let Letter {
        attempts, cause, ..
    } = letter;
    let since = letter.dead_at.as_ref().unwrap_or(&letter.first_at);
    let attempts = match attempts {
        1 => "one attempt".to_owned(),
        many => format!("{many} attempts"),
    };
    format!("dead since {since} after {attempts}: {cause}")
}

/// One with its payload.
pub(super) fn whole(letter: &Letter) -> String {
    let payload = letter.payload.as_deref().unwrap_or_default();
    // What cannot be read as JSON may be why it is dead.
    let payload = match serde_json::from_str::<Value>(payload) {
        Ok(json) => format!("{json:#}"),
        Err(_) => payload.to_owned(),
    };
    format!(
        "{}{}\n",
        list(std::slice::from_ref(letter), &[]),
        escaped_lines(&payload)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: &str) -> Letter {
        serde_json::from_value(serde_json::json!({
            "service": "email",
            "id": "01999999-0000-7000-8000-000000000000",
            "subject": "shop.orders.order.confirmed.v1",
            "attempts": 1,
            "cause": "data: missing field `email`",
            "first_at": "2026-11-26T22:00:00Z",
            "dead_at": "2026-11-26T22:04:00Z",
            "payload": payload,
        }))
        .expect("a letter")
    }

    #[test]
    fn a_letter_is_told_with_its_cause_and_its_payload() {
        insta::assert_snapshot!(whole(&letter(r#"{"data":{"order_id":"7"}}"#)), @r#"
        email  01999999-0000-7000-8000-000000000000  shop.orders.order.confirmed.v1
          dead since 2026-11-26T22:04:00Z after one attempt: data: missing field `email`
        {
          "data": {
            "order_id": "7"
          }
        }
        "#);
    }

    #[test]
    fn a_payload_that_is_no_json_is_shown_as_it_is() {
        assert!(whole(&letter("no\njson\u{1b}")).ends_with("\nno\njson\\u{1b}\n"));
        assert!(whole(&letter("\"\u{9b}\"")).ends_with("\n\"\\u{9b}\"\n"));
    }

    #[test]
    fn no_letters_are_told_too() {
        let told = list(&[], &["email", "orders"]);
        assert_eq!(told, "There are no dead letters at email, orders.\n");
    }
}
