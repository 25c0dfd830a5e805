//! Mails, as they were sent.

use super::with_query;
use chassis::client::{CallMetrics, Peer, PeerError};
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

#[derive(Clone)]
pub(crate) struct Email(Peer);

#[derive(Deserialize)]
pub(crate) struct MailList {
    pub(crate) items: Vec<Mail>,
    #[serde(default)]
    pub(crate) next_cursor: Option<Uuid>,
}

#[derive(Deserialize)]
pub(crate) struct Mail {
    pub(crate) id: Uuid,
    pub(crate) subject: String,
    pub(crate) to: String,
    pub(crate) status: MailStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(default)]
    pub(crate) order_id: Option<Uuid>,
}

/// How far a mail is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum MailStatus {
    Queued,
    Sending,
    Sent,
    Kept,
    Failed,
    /// Of a later version of email.
    Other(String),
}

impl MailStatus {
    /// Those that are known.
    pub(crate) const ALL: [Self; 5] = [
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Kept,
        Self::Failed,
    ];

    /// As the contract has it.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Kept => "kept",
            Self::Failed => "failed",
            Self::Other(text) => text,
        }
    }
}

impl From<String> for MailStatus {
    fn from(text: String) -> Self {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.unwrap_or(Self::Other(text))
    }
}

#[derive(Deserialize)]
pub(crate) struct MailWithContent {
    #[serde(flatten)]
    pub(crate) mail: Mail,
    pub(crate) html: String,
}

impl Email {
    pub(crate) fn new(base: Url, calls: CallMetrics) -> Self {
        Self(Peer::new("email", base, None, calls))
    }

    /// Those about an order, newest first; of a buyer, the buyer's own.
    pub(crate) async fn about(
        &self,
        token: &SecretString,
        order: Uuid,
    ) -> Result<Vec<Mail>, PeerError> {
        let call = self
            .0
            .get(&format!("/mails?order_id={order}"))
            .bearer(token);
        let list: MailList = call.send().await?;
        Ok(list.items)
    }

    /// Of all, for staff.
    pub(crate) async fn of_all(
        &self,
        token: &SecretString,
        status: Option<&MailStatus>,
        cursor: Option<Uuid>,
    ) -> Result<MailList, PeerError> {
        let cursor = cursor.map(|cursor| cursor.to_string());
        let parameters = [
            ("limit", Some("50")),
            ("status", status.map(MailStatus::as_str)),
            ("cursor", cursor.as_deref()),
        ];
        let path = with_query("/mails", &parameters);
        self.0.get(&path).bearer(token).send().await
    }

    /// Sends a mail again that has failed or was kept.
    pub(crate) async fn retry(&self, token: &SecretString, id: Uuid) -> Result<(), PeerError> {
        let call = self.0.post(&format!("/mails/{id}/retry")).bearer(token);
        let answer: Result<serde::de::IgnoredAny, _> = call.send().await;
        answer.map(drop)
    }

    pub(crate) async fn mail(
        &self,
        token: &SecretString,
        id: Uuid,
    ) -> Result<MailWithContent, PeerError> {
        self.0
            .get(&format!("/mails/{id}"))
            .bearer(token)
            .send()
            .await
    }
}
