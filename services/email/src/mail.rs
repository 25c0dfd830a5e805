//! What a mail is: its kind, its status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{FromSql, Type, accepts};
use utoipa::ToSchema;

/// What a mail is about. A folder of `templates/` has the same name.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[strum(parse_err_ty = Unknown, parse_err_fn = Unknown::kind)]
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

/// How far a mail got.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[strum(parse_err_ty = Unknown, parse_err_fn = Unknown::status)]
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

/// A text that names no kind or status.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no {what} {text:?}")]
pub(crate) struct Unknown {
    what: &'static str,
    text: String,
}

impl Unknown {
    fn kind(text: &str) -> Self {
        Self::new("kind of mail", text)
    }

    fn status(text: &str) -> Self {
        Self::new("status of a mail", text)
    }

    fn new(what: &'static str, text: &str) -> Self {
        let text = text.to_owned();
        Self { what, text }
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

    /// What stands in the database, in the API and in events.
    #[test]
    fn the_texts_of_kinds_and_statuses_stay_what_they_are() {
        for (kind, text) in [
            (MailKind::Welcome, "welcome"),
            (MailKind::OrderConfirmed, "order_confirmed"),
            (MailKind::OrderCancelled, "order_cancelled"),
            (MailKind::OrderRefunded, "order_refunded"),
        ] {
            assert_eq!((kind.into_str(), text.parse()), (text, Ok(kind)));
            assert_eq!(serde_json::to_value(kind).unwrap(), text);
        }
        for (status, text) in [
            (MailStatus::Queued, "queued"),
            (MailStatus::Sending, "sending"),
            (MailStatus::Sent, "sent"),
            (MailStatus::Kept, "kept"),
            (MailStatus::Failed, "failed"),
        ] {
            assert_eq!((status.into_str(), text.parse()), (text, Ok(status)));
            assert_eq!(serde_json::to_value(status).unwrap(), text);
        }
    }

    #[test]
    fn an_unknown_text_is_named() {
        let kind = "letter".parse::<MailKind>().unwrap_err();
        assert_eq!(kind.to_string(), "there is no kind of mail \"letter\"");
        let status = "lost".parse::<MailStatus>().unwrap_err();
        assert_eq!(status.to_string(), "there is no status of a mail \"lost\"");
    }
}
