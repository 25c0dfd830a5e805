//! E-mail addresses: which are accepted, and which are the same.

use std::fmt;

/// The longest address that a mail server accepts, in characters (RFC 5321, 4.5.3.1.3, without the angle brackets).
pub(crate) const MAX_LENGTH: usize = 254;

/// An address as HTML5 accepts it (so ASCII only), trimmed, its domain in lower case. Mail can be sent to it: unlike HTML5,
/// RFC 5321 (4.1.2) has no empty piece between the dots of the part before the `@`.
///
/// The part before the `@` keeps its spelling, because a mail server may tell `Ada` from `ada`.
/// `Debug` shows nothing of it: addresses do not belong into logs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EmailAddress(String);

/// Why a text is no e-mail address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidEmailAddress {
    #[error("must have at most {MAX_LENGTH} characters")]
    TooLong,
    #[error("is not an e-mail address, for example ada@shop.example")]
    Malformed,
}

impl EmailAddress {
    /// Reads an address as a person typed it.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim();
        if text.len() > MAX_LENGTH {
            return Err(InvalidEmailAddress::TooLong);
        }
        garde::rules::email::parse_email(text).map_err(|_| InvalidEmailAddress::Malformed)?;
        let (local, domain) = text
            .rsplit_once('@')
            .ok_or(InvalidEmailAddress::Malformed)?;
        if local.split('.').any(str::is_empty) {
            return Err(InvalidEmailAddress::Malformed);
        }
        Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes two addresses the same account: the database compares the same way (`lower(email)`).
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trims_and_lowers_the_domain_alone() {
        let address = EmailAddress::parse("  Ada.Lovelace@Shop.EXAMPLE\n").unwrap();
        assert_eq!(address.as_str(), "Ada.Lovelace@shop.example");
        assert_eq!(address.key(), "ada.lovelace@shop.example");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            "ada",
            "@shop.example",
            "ada@",
            "a da@shop.example",
            "ada@shop..example",
            "ada@a@b",
            "ada\0@shop.example",
            "ä@shop.example",
            "a..b@shop.example",
            ".a@shop.example",
            "a.@shop.example",
        ] {
            assert_eq!(
                EmailAddress::parse(text),
                Err(InvalidEmailAddress::Malformed),
                "{text:?}"
            );
        }
        let long = format!("{}@shop.example", "a".repeat(MAX_LENGTH));
        assert_eq!(
            EmailAddress::parse(&long),
            Err(InvalidEmailAddress::TooLong)
        );
    }

    #[test]
    fn debug_shows_nothing() {
        let address = EmailAddress::parse("ada@shop.example").unwrap();
        assert!(!format!("{address:?}").contains("ada"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_reading_twice_changes_nothing(text in "\\PC{0,40}@?\\PC{0,40}") {
            if let Ok(once) = EmailAddress::parse(&text) {
                prop_assert!(once.as_str().is_ascii());
                prop_assert_eq!(EmailAddress::parse(once.as_str()).unwrap(), once);
            }
        }

        #[test]
        fn mail_can_be_sent_to_whatever_is_taken(local in "[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,70}|[a-z.]{1,5}", domain in "[a-z0-9.-]{1,12}|\\[[0-9a-f.:]{3,15}\\]") {
            if let Ok(address) = EmailAddress::parse(&format!("{local}@{domain}")) {
                // The parser that email sends with.
                let sendable = address.as_str().parse::<lettre::Address>();
                prop_assert!(sendable.is_ok(), "{}: {sendable:?}", address.as_str());
            }
        }

        #[test]
        fn spelling_does_not_make_another_account(text in "[a-zA-Z]{1,10}@[a-zA-Z]{1,10}\\.[a-zA-Z]{2,5}") {
            let other = EmailAddress::parse(&text.to_ascii_uppercase()).unwrap();
            prop_assert_eq!(EmailAddress::parse(&text).unwrap().key(), other.key());
        }
    }
}
