//! NATS JetStream: one stream for all events, made by whoever comes first, the same wherever it is made.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use secrecy::{ExposeSecret, SecretString};

use crate::settings::{SettingError, wrong};

/// The stream of all events.
pub(crate) const STREAM: &str = "SHOP";
/// How long the broker keeps events. Outboxes keep theirs as long, so that a lost stream can be filled again.
pub(crate) const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// The way to the broker; connects in the background and for ever.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) jetstream: jetstream::Context,
}

impl Broker {
    pub(crate) async fn connect(service: &str, url: &SecretString) -> Result<Self, SettingError> {
        let address: async_nats::ServerAddr = url
            .expose_secret()
            .parse()
            .map_err(|_| wrong("NATS_URL", "give nats://user:password@host:4222"))?;
        let mut options = async_nats::ConnectOptions::new()
            .name(service)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis((100 * attempt as u64).clamp(50, 2_000))
            })
            .connection_timeout(Duration::from_secs(2))
            .ping_interval(Duration::from_secs(10))
            .event_callback(|event| async move { tracing::debug!(%event, "broker") });
        if let (Some(user), Some(password)) = (address.username(), address.password()) {
            options = options.user_and_password(user.to_owned(), password.to_owned());
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
        Ok(Self { jetstream })
    }

    /// The stream, made when it is not there.
    pub(crate) async fn stream(&self) -> anyhow::Result<stream::Stream> {
        let stream = self
            .jetstream
            .get_or_create_stream(stream::Config {
                name: STREAM.to_owned(),
                subjects: vec!["shop.>".to_owned()],
                storage: stream::StorageType::File,
                retention: stream::RetentionPolicy::Limits,
                discard: stream::DiscardPolicy::Old,
                duplicate_window: Duration::from_secs(120),
                max_age: KEEP,
                max_message_size: 1024 * 1024,
                ..Default::default()
            })
            .await?;
        Ok(stream)
    }
}
