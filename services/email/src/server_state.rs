//! Whether the mail server takes mails, as this replica sees it: for the metrics, the API and the log.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::Serialize;
use strum::IntoEnumIterator;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Why no mail goes out, whatever mail it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, strum::EnumIter, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum Trouble {
    /// There is no connection to the mail server, or it is busy.
    Unreachable,
    /// The mail server does not accept the log-in, or wants one.
    LogInRefused,
    /// The mail server refuses the sender: its address, its host, or relaying for it.
    SenderRefused,
}

impl Trouble {
    /// What whoever runs the service should look at.
    fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => "look at SMTP_HOST, SMTP_PORT, SMTP_TLS and at the server",
            Self::LogInRefused => "look at SMTP_USERNAME and SMTP_PASSWORD",
            Self::SenderRefused => {
                "look at MAIL_FROM, and at what the server lets this client and its log-in send"
            }
        }
    }
}

/// Since when the mail server takes no mail, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) trouble: Trouble,
    /// The server's reply code, where it gave one.
    pub(crate) smtp_code: Option<u16>,
    pub(crate) since: OffsetDateTime,
    /// Attempts that have failed like this in a row.
    pub(crate) failures: u32,
}

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerState(Arc<Mutex<Option<Stopped>>>);

impl ServerState {
    /// Since when no mail goes out; `None` while the server takes mails, as far as is known.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.lock().clone()
    }

    /// The server has taken a mail, or judged one on its own. Says whether it did not before.
    pub(crate) fn works(&self) -> bool {
        let stopped = self.lock().take();
        if stopped.is_some() {
            tracing::info!("the mail server takes mails again");
        }
        stopped.is_some()
    }

    /// The server takes no mail. The log tells of it once, and again when the reason changes.
    pub(crate) fn fails(&self, trouble: Trouble, smtp_code: Option<u16>) {
        let mut state = self.lock();
        let before = state.take();
        if before.as_ref().map(|stopped| stopped.trouble) != Some(trouble) {
            let reason = trouble.into_str();
            let advice = trouble.advice();
            tracing::warn!(reason, smtp_code, "no mail goes out, all wait: {advice}");
        }
        *state = Some(Stopped {
            trouble,
            smtp_code,
            since: before
                .as_ref()
                .map_or_else(OffsetDateTime::now_utc, |stopped| stopped.since),
            failures: before
                .map_or(0, |stopped| stopped.failures)
                .saturating_add(1),
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stopped>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for ServerState {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let current = self.stopped().map(|stopped| stopped.trouble);
        let mut family = encoder.encode_descriptor(
            "shop_email_stopped",
            "1 while no mail goes out for this reason, whatever mail it is",
            None,
            MetricType::Gauge,
        )?;
        for trouble in Trouble::iter() {
            let value = i64::from(current == Some(trouble));
            let labels = [("reason", trouble.into_str())];
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_stopped_from_the_first_failure_to_the_next_success() {
        let server = ServerState::default();
        assert!(!server.works(), "it did before");
        server.fails(Trouble::Unreachable, None);
        let since = server.stopped().unwrap().since;
        server.fails(Trouble::SenderRefused, Some(553));
        let stopped = server.stopped().unwrap();
        assert_eq!((stopped.failures, stopped.since), (2, since));
        assert_eq!(stopped.trouble, Trouble::SenderRefused);
        assert!(server.works());
        assert_eq!(server.stopped(), None);
    }
}
