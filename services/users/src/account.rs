//! Accounts: who someone is and what they may do.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::email_address::EmailAddress;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Fills carts and places orders. Every account has it.
    Buyer,
    /// Keeps the catalogue and the stock, reads the mails.
    Admin,
}

impl Role {
    /// Its name in the database and in tokens.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Admin => "admin",
        }
    }

    /// The roles among `names`. One that only a newer version knows is left out: less may be done, never more.
    pub(crate) fn known(names: &[String]) -> Vec<Self> {
        [Self::Buyer, Self::Admin]
            .into_iter()
            .filter(|role| names.iter().any(|name| name == role.as_str()))
            .collect()
    }
}

/// An account as its owner sees it.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
}

/// What an account is made of.
pub(crate) struct NewAccount {
    pub(crate) email: EmailAddress,
    pub(crate) name: DisplayName,
    pub(crate) roles: Vec<Role>,
}

/// The longest name, in characters.
const NAME_MAX: usize = 100;

/// How someone wants to be addressed: 1 to 100 characters, trimmed, on one line.
pub(crate) struct DisplayName(String);

/// Why a text is no name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidName {
    #[error("must have 1 to {NAME_MAX} characters")]
    Length,
    #[error("must not contain line breaks or other control characters")]
    ControlCharacter,
}

impl DisplayName {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        // Checked first because it also bounds the work below. Names end up in mail headers and in PostgreSQL, which
        // takes no NUL.
        if !(1..=NAME_MAX).contains(&text.chars().count()) {
            Err(InvalidName::Length)
        } else if text.chars().any(char::is_control) {
            Err(InvalidName::ControlCharacter)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            DisplayName::parse(" Ada Lovelace ").unwrap().as_str(),
            "Ada Lovelace"
        );
        assert!(DisplayName::parse(&"ä".repeat(100)).is_ok());
        for (text, cause) in [
            ("", InvalidName::Length),
            ("   ", InvalidName::Length),
            (&*"a".repeat(101), InvalidName::Length),
            ("Ada\0Lovelace", InvalidName::ControlCharacter),
            ("Ada\r\nBcc: everyone", InvalidName::ControlCharacter),
        ] {
            assert_eq!(DisplayName::parse(text).err(), Some(cause), "{text:?}");
        }
    }

    #[test]
    fn roles_of_a_newer_version_are_left_out() {
        let names = ["admin", "auditor", "buyer"].map(str::to_owned);
        assert_eq!(Role::known(&names), [Role::Buyer, Role::Admin]);
        assert_eq!(Role::known(&names[1..2]), []);
    }
}
