//! Subscribing: a durable pull consumer for each service and kind of event. So a version that subscribes to one more kind
//! leaves those of the version before it alone, and a kind that does not get on holds up no other.
//!
//! An event is acknowledged when the database knows what became of it: applied, parked, to be tried again, or dead. Only a
//! database that is away, whose schema is behind, or that refuses to keep the event, sends it back to the broker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::broker::{Broker, KEEP};
use super::processor::{Processed, Processor};
use super::relay::TRACEPARENT;
use crate::metrics::SubjectLabels;

/// Events of all kinds worked on at once.
pub(crate) const CONCURRENCY: usize = 8;
/// Events of one kind pulled at once. Those that have to wait for a place are handed back when the process stops.
const BATCH: usize = 16;
/// How long a request for events that are to come stands: after it, one that was lost with the broker is made again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// After so long without an answer the broker sends an event again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Before an event is sent again while the database is away.
const PAUSE: Duration = Duration::from_secs(1);
/// The same while it refuses to keep what was not applied, which takes somebody to mend.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// Before an event that is handed back is sent to somebody else: by then the broker knows that this process takes no more.
const HAND_BACK: Duration = Duration::from_millis(200);

/// The name of the durable consumer of one service and kind: `email-shop-orders-order-confirmed-v1`. A name must not have
/// dots.
pub(crate) fn durable_name(service: &str, kind: &str) -> String {
    format!("{service}-{}", kind.replace('.', "-"))
}

/// The subscription to one kind of event.
pub(crate) struct Consumer {
    pub(crate) service: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) broker: Broker,
    pub(crate) processor: Arc<Processor>,
    /// What the subscriptions of a process share: [`CONCURRENCY`] of them.
    pub(crate) places: Arc<Semaphore>,
}

impl Consumer {
    /// Handles events until `stop`: those begun are finished, those pulled and not begun are handed back.
    ///
    /// # Errors
    /// The broker is away, or the consumer is gone: to be run again, which makes it anew.
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let durable = self.durable().await?;
        let mut begun = FuturesUnordered::new();
        let mut outcome = Ok(());
        while !stop.is_cancelled() && outcome.is_ok() {
            outcome = self.ask(&durable, &mut begun, &stop).await;
            // All have a place before the next are asked for.
            while begun.len() > CONCURRENCY && begun.next().await.is_some() {}
        }
        while begun.next().await.is_some() {}
        self.broker.flush().await;
        outcome
    }

    /// One request for events: begins what comes, and goes on with what is begun.
    ///
    /// There is none beside it. A stream that asks for more by itself does so, too, while what it holds is handed back, and
    /// what comes then would be missing until the broker noticed.
    async fn ask<'a>(
        &'a self,
        durable: &PullConsumer,
        begun: &mut FuturesUnordered<BoxFuture<'a, ()>>,
        stop: &'a CancellationToken,
    ) -> anyhow::Result<()> {
        let batch = durable.batch().max_messages(BATCH).expires(ASK_AGAIN);
        let messages = batch.messages().await;
        // A figure of before would point at the service, and not at the broker.
        let messages = messages.inspect_err(|_| self.forget_pending());
        let mut batch = messages.context("the broker gives no events")?;
        let mut came = 0;
        let outcome = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                Some(()) = begun.next() => {}
                message = batch.next() => match message {
                    Some(Ok(message)) => {
                        came += 1;
                        self.note_pending(message.info().map_or(0, |info| info.pending));
                        begun.push(self.handle(message, stop).boxed());
                    }
                    Some(Err(error)) => {
                        self.forget_pending();
                        break Err(anyhow::anyhow!(error)).context("the events broke off");
                    }
                    None => {
                        // The time ran out before it was full: whatever is left, another replica has it.
                        if came < BATCH {
                            self.note_pending(0);
                        }
                        break Ok(());
                    }
                }
            }
        };
        hand_back(batch).await;
        outcome
    }

    fn note_pending(&self, events: u64) {
        let pending = &self.processor.metrics.pending;
        let pending = pending.get_or_create(&self.labels());
        pending.set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    fn forget_pending(&self) {
        self.processor.metrics.pending.remove(&self.labels());
    }

    fn labels(&self) -> SubjectLabels {
        SubjectLabels {
            subject: self.kind.to_owned(),
        }
    }

    /// Made by whoever comes first, at the beginning of the stream: what was published before is handled too, and the inbox
    /// knows what was handled. So it may be made anew at any time, and the broker may remove it when nobody has pulled from
    /// it for as long as events are kept.
    async fn durable(&self) -> anyhow::Result<PullConsumer> {
        let stream = self
            .broker
            .stream()
            .await
            .context("the broker does not answer")?;
        stream
            .create_consumer(pull::Config {
                durable_name: Some(durable_name(self.service, self.kind)),
                filter_subject: self.kind.to_owned(),
                ack_policy: AckPolicy::Explicit,
                ack_wait: ACK_WAIT,
                max_ack_pending: 256,
                inactive_threshold: KEEP,
                ..Default::default()
            })
            .await
            .context("the broker does not take the consumer")
    }

    /// One message to its end, once there is a place for it. Never fails: what goes wrong is answered to the broker.
    async fn handle(&self, message: Message, stop: &CancellationToken) {
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            place = self.places.acquire() => place.ok(),
        };
        let answer = match place {
            Some(_place) => {
                let sent_in = message.headers.as_ref();
                let sent_in = sent_in.and_then(|headers| headers.get(TRACEPARENT));
                let sent_in = sent_in.map(|value| value.as_str());
                let processed = self
                    .processor
                    .process(&message.subject, &message.payload, sent_in)
                    .await;
                answer(processed)
            }
            None => AckKind::Nak(Some(HAND_BACK)),
        };
        if let Err(error) = message.ack_with(answer).await {
            // The event comes again and the inbox knows it.
            tracing::debug!(%error, "an acknowledgement did not reach the broker");
        }
    }
}

fn answer(processed: Processed) -> AckKind {
    match processed {
        Processed::Applied | Processed::Duplicate | Processed::Kept(_) => AckKind::Ack,
        Processed::Waiting => AckKind::Nak(Some(PAUSE)),
        // Only the broker has it. Those behind it go on meanwhile.
        Processed::Refused => AckKind::Nak(Some(LONG_PAUSE)),
    }
}

/// Hands back what has arrived and was not looked at.
async fn hand_back(mut batch: pull::Batch) {
    while let Some(Some(Ok(message))) = batch.next().now_or_never() {
        if let Err(error) = message.ack_with(AckKind::Nak(Some(HAND_BACK))).await {
            tracing::debug!(%error, "an event could not be handed back; it is sent again after its time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_durable_is_of_service_and_kind_and_has_a_name_that_the_broker_takes() {
        let name = durable_name("email", "shop.orders.order.confirmed.v1");
        assert_eq!(name, "email-shop-orders-order-confirmed-v1");
    }
}
