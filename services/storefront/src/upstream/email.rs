//! Mails, as they were sent.

use chassis::client::{CallMetrics, Peer, PeerError};
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

#[derive(Clone)]
pub(crate) struct Email(Peer);

#[derive(Deserialize)]
struct MailList {
    items: Vec<Mail>,
}

#[derive(Deserialize)]
pub(crate) struct Mail {
    pub(crate) id: Uuid,
    pub(crate) subject: String,
    pub(crate) to: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(default)]
    pub(crate) order_id: Option<Uuid>,
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
