//! What email publishes to the others.

use chassis::Event;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::mail::MailKind;

/// A mail has left the house, or is kept where no mail server is configured.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct EmailSent {
    pub(crate) mail_id: Uuid,
    pub(crate) kind: MailKind,
    /// The order that the mail is about; missing for a welcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<Uuid>,
    pub(crate) user_id: Uuid,
    pub(crate) status: SentStatus,
}

/// Where a finished mail is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SentStatus {
    /// Taken by the mail server.
    Sent,
    /// Not sent: no mail server is configured. It can be read through the API.
    Kept,
}

/// A mail has failed. It may be sent again, when an administrator asks for it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct EmailBounced {
    pub(crate) mail_id: Uuid,
    pub(crate) kind: MailKind,
    /// The order that the mail is about; missing for a welcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<Uuid>,
    pub(crate) user_id: Uuid,
    pub(crate) reason: BounceReason,
    /// The mail server's reply code, where it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 400, max = 599))]
    pub(crate) smtp_code: Option<u16>,
}

/// Why a mail has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BounceReason {
    /// The mail server refused it for good.
    Refused,
    /// The mail server put it off for days, until it was given up.
    Expired,
}

impl Event for EmailSent {
    const SERVICE: &'static str = "email";
    const NAME: &'static str = "email.sent";

    fn examples() -> Vec<Self> {
        vec![
            Self {
                mail_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001),
                kind: MailKind::OrderConfirmed,
                order_id: Some(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002)),
                user_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0003),
                status: SentStatus::Sent,
            },
            Self {
                mail_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0004),
                kind: MailKind::Welcome,
                order_id: None,
                user_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0003),
                status: SentStatus::Kept,
            },
        ]
    }
}

impl Event for EmailBounced {
    const SERVICE: &'static str = "email";
    const NAME: &'static str = "email.bounced";

    fn examples() -> Vec<Self> {
        vec![
            Self {
                mail_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0005),
                kind: MailKind::OrderCancelled,
                order_id: Some(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0006)),
                user_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0003),
                reason: BounceReason::Refused,
                smtp_code: Some(550),
            },
            Self {
                mail_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0007),
                kind: MailKind::Welcome,
                order_id: None,
                user_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0003),
                reason: BounceReason::Expired,
                smtp_code: None,
            },
        ]
    }
}
