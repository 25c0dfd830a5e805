//! What a mail is: its kind, its status.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{FromSql, Type, accepts};
use utoipa::ToSchema;

/// What a mail is about. A folder of `templates/` has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailKind {
    /// An account was made.
    Welcome,
    /// An order is confirmed, with its items and total.
    OrderConfirmed,
    /// An order was cancelled, with the reason in plain words.
    OrderCancelled,
    /// Money of an order was given back.
    OrderRefunded,
}

impl MailKind {
    pub(crate) const ALL: [Self; 4] = [
        Self::Welcome,
        Self::OrderConfirmed,
        Self::OrderCancelled,
        Self::OrderRefunded,
    ];

    /// The name in the API, in events and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::OrderConfirmed => "order_confirmed",
            Self::OrderCancelled => "order_cancelled",
            Self::OrderRefunded => "order_refunded",
        }
    }
}

/// How far a mail got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailStatus {
    /// Waits for its first or next attempt.
    Queued,
    /// A sender works on it.
    Sending,
    /// The mail server has taken it.
    Sent,
    /// No mail server is configured: it is kept here for reading.
    Kept,
    /// Refused for good, or given up after days of trying.
    Failed,
}

impl MailStatus {
    pub(crate) const ALL: [Self; 5] = [
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Kept,
        Self::Failed,
    ];

    /// The name in the API and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

/// A text that names no kind or status.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no {what} {text:?}")]
pub(crate) struct Unknown {
    what: &'static str,
    text: String,
}

impl FromStr for MailKind {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| unknown("kind of mail", text))
    }
}

impl FromStr for MailStatus {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| unknown("status of a mail", text))
    }
}

fn unknown(what: &'static str, text: &str) -> Unknown {
    Unknown {
        what,
        text: text.to_owned(),
    }
}

impl fmt::Display for MailKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for MailStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

type SqlError = Box<dyn std::error::Error + Sync + Send>;

impl<'a> FromSql<'a> for MailKind {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, SqlError> {
        Ok(<&str>::from_sql(ty, raw)?.parse()?)
    }

    accepts!(TEXT);
}

impl<'a> FromSql<'a> for MailStatus {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, SqlError> {
        Ok(<&str>::from_sql(ty, raw)?.parse()?)
    }

    accepts!(TEXT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_json_and_in_the_database() {
        for kind in MailKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for status in MailStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!(
            "letter".parse::<MailKind>().unwrap_err().to_string(),
            "there is no kind of mail \"letter\""
        );
    }
}
