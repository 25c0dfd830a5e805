//! Accounts: who someone is and what they may do.

use serde::Serialize;
use strum::IntoEnumIterator;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{display_name::DisplayName, email_address::EmailAddress};

/// What an account may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema, strum::EnumIter, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum Role {
    /// Fills carts and places orders. Every account has it.
    Buyer,
    /// Keeps the catalogue and the stock, reads the mails.
    Admin,
}

impl Role {
    /// The roles among `names`. One that only a newer version knows is left out: less may be done, never more.
    pub(crate) fn known(names: &[String]) -> Vec<Self> {
        Self::iter()
            .filter(|role| names.iter().any(|name| name == role.into_str()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_roles_in_the_database_stay_what_they_are() {
        let names: Vec<_> = Role::iter().map(|role| role.into_str()).collect();
        assert_eq!(names, ["buyer", "admin"]);
    }

    #[test]
    fn roles_of_a_newer_version_are_left_out() {
        let names = ["admin", "auditor", "buyer"].map(str::to_owned);
        assert_eq!(Role::known(&names), [Role::Buyer, Role::Admin]);
        assert_eq!(Role::known(&names[1..2]), []);
    }
}
