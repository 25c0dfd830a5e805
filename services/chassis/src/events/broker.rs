//! NATS JetStream: one stream for all events, made by whoever comes first. Its limits are the operator's: a process that is
//! given them brings the stream to them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::{self, stream};
use async_nats::{Event, ServerError};
use secrecy::{ExposeSecret, SecretString};

use crate::application::{STREAM, SUBJECTS};
use crate::settings::{SettingError, wrong};

/// How long the broker keeps events. Outboxes keep theirs as long, so that what the broker lost can be published again.
pub(crate) const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long events wait on a subject that the broker refuses. Each try costs the time of an acknowledgement that does not come, for
/// which those of all other subjects wait as well.
const ASIDE: Duration = Duration::from_secs(60);

/// Subjects that the broker refuses, and since when.
type Refused = Arc<Mutex<BTreeMap<String, Instant>>>;

/// How many bytes of events the broker keeps at most; the oldest go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamSize(i64);

impl StreamSize {
    /// Below it not even a few events have room.
    const MIN: i64 = 64 * 1024;
    /// Of a stream that is made by a process that was not given one.
    const DEFAULT: Self = Self(64 * 1024 * 1024);
}

impl FromStr for StreamSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(bytes @ Self::MIN..) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(format!("give a number of bytes, at least {}", Self::MIN)),
        }
    }
}

/// Which of the connections that followed each other. A broker that lost something was away, so its connection is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection(u64);

/// The way to the broker; connects in the background and for ever.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) service: &'static str,
    pub(crate) jetstream: jetstream::Context,
    /// What the stream is brought to.
    size: Option<StreamSize>,
    refused: Refused,
}

impl Broker {
    pub(crate) async fn connect(
        service: &'static str,
        url: &SecretString,
        size: Option<StreamSize>,
    ) -> Result<Self, SettingError> {
        let address: async_nats::ServerAddr = url
            .expose_secret()
            .parse()
            .map_err(|_| wrong("NATS_URL", "give nats://user:password@host:4222"))?;
        let refused = Refused::default();
        let mut options = async_nats::ConnectOptions::new()
            .name(service)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis((100 * attempt as u64).clamp(50, 2_000))
            })
            .connection_timeout(Duration::from_secs(2))
            .ping_interval(Duration::from_secs(10))
            .event_callback({
                let refused = refused.clone();
                move |event| {
                    note_refusal(&refused, &event);
                    async move { tracing::debug!(%event, "broker") }
                }
            });
        if let (Some(user), Some(password)) = (address.username(), address.password()) {
            // A login may listen under its own name alone: answers to others are none of its business.
            options = options
                .custom_inbox_prefix(format!("_INBOX.{user}"))
                .user_and_password(user.to_owned(), password.to_owned());
        }
        let client = options
            .connect(address)
            .await
            .map_err(|e| wrong("NATS_URL", e))?;
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(Duration::from_secs(3))
            .ack_timeout(Duration::from_secs(3))
            .max_ack_inflight(1024)
            .build(client);
        Ok(Self {
            service,
            jetstream,
            size,
            refused,
        })
    }

    /// The stream, made when it is not there, and brought to its limits by a process that was given them.
    pub(crate) async fn stream(&self) -> anyhow::Result<stream::Stream> {
        let made = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![format!("{SUBJECTS}.>")],
            storage: stream::StorageType::File,
            retention: stream::RetentionPolicy::Limits,
            duplicate_window: Duration::from_secs(120),
            ..limited(
                stream::Config::default(),
                self.size.unwrap_or(StreamSize::DEFAULT),
            )
        };
        let stream = self.jetstream.get_or_create_stream(made).await?;
        if let Some(size) = self.size {
            self.limit(&stream.cached_info().config, size).await;
        }
        Ok(stream)
    }

    /// The present connection.
    pub(crate) fn connection(&self) -> Option<Connection> {
        let client = self.jetstream.client();
        let count = client.statistics().connects.load(Ordering::Relaxed);
        (client.connection_state() == State::Connected).then_some(Connection(count))
    }

    /// Subjects on which the broker takes nothing from this login, as it has said within [`ASIDE`].
    pub(crate) fn refused(&self) -> Vec<String> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, since| since.elapsed() < ASIDE);
        refused.keys().cloned().collect()
    }

    /// Sends what is still on its way to the broker.
    pub(crate) async fn flush(&self) {
        if let Err(error) = self.jetstream.client().flush().await {
            tracing::debug!(%error, "not all acknowledgements reached the broker");
        }
    }

    /// A stream that cannot be changed is used as it is: events are more important than their limits.
    async fn limit(&self, found: &stream::Config, size: StreamSize) {
        let limited = limited(found.clone(), size);
        if limited == *found {
            return;
        }
        match self.jetstream.update_stream(&limited).await {
            Ok(_) => tracing::info!(
                bytes = size.0,
                was = found.max_bytes,
                "the stream has new limits"
            ),
            Err(error) => tracing::warn!(
                %error, bytes = size.0, was = found.max_bytes,
                "the stream cannot be brought to its limits; it is tried again"
            ),
        }
    }
}

fn note_refusal(refused: &Refused, event: &Event) {
    let Some(subject) = refused_subject(event) else {
        return;
    };
    let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
    if refused.insert(subject.clone(), Instant::now()).is_none() {
        tracing::warn!(
            subject,
            "the broker refuses this kind of event; it must stand under `publishes` in the service's document"
        );
    }
}

/// The subject in `Permissions Violation for Publish to "shop.email.email.read.v1"`.
fn refused_subject(event: &Event) -> Option<String> {
    let Event::ServerError(ServerError::Other(text)) = event else {
        return None;
    };
    let (_, quoted) = text.split_once("ublish to \"")?;
    Some(quoted.split_once('"')?.0.to_owned())
}

fn limited(config: stream::Config, size: StreamSize) -> stream::Config {
    stream::Config {
        discard: stream::DiscardPolicy::Old,
        max_bytes: size.0,
        max_age: KEEP,
        max_message_size: 1024 * 1024,
        ..config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_refusal_is_read_from_its_words() {
        let said = |text: &str| Event::ServerError(ServerError::Other(text.to_owned()));
        let refusal = said("Permissions Violation for Publish to \"shop.notes.x.v1\"");
        assert_eq!(
            refused_subject(&refusal).as_deref(),
            Some("shop.notes.x.v1")
        );
        for other in [
            said("Permissions Violation for Subscription to \"_INBOX.>\""),
            Event::Connected,
        ] {
            assert_eq!(refused_subject(&other), None);
        }
    }

    #[test]
    fn the_size_of_the_stream_is_a_number_of_bytes_that_has_room_for_events() {
        assert_eq!("65536".parse(), Ok(StreamSize(65536)));
        for wrong in ["", "65535", "-1", "1Gi", "1e9"] {
            assert!(wrong.parse::<StreamSize>().is_err(), "{wrong}");
        }
    }
}
