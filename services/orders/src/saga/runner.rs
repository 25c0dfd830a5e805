//! Drives the checkouts: takes what is due, asks payments, applies what follows.
//!
//! Any number of replicas may run it. A saga is taken under a lease in one short transaction, payments is asked outside of
//! any, and a second transaction applies the outcome if the lease still holds. Who dies in between leaves a lease that
//! ends; the next one asks again with the same key.

use std::time::{Duration, Instant};

use anyhow::Context;
use chassis::db::{self, Db, Transaction};
use chassis::{CancellationToken, deadline, outbox, telemetry};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::Instrument;

use super::{Effect, Next, StepOutcome, Transition, next};
use crate::checkout;
use crate::events::{OrderCancelled, OrderConfirmed};
use crate::metrics::Metrics;
use crate::order::{Order, OrderState};
use crate::payments_client::PaymentsClient;
use crate::state::Signals;
use crate::store;
use crate::store::sagas::Claimed;
use crate::timeline::EntryOutcome;

/// Sagas worked on at once by one process.
const CONCURRENCY: usize = 16;
/// How long payments may take to answer, its own retries included.
const CALL: Duration = Duration::from_secs(5);
/// How long a saga belongs to the one who took it: a connection and the statement that takes it, the call, a connection and
/// the transaction that writes down what came of it.
const LEASE: Duration = CALL.saturating_add(db::WITHOUT_CALLER.saturating_mul(4));
/// How often to look for due sagas of which no signal told.
const POLL: Duration = Duration::from_millis(500);
/// From this attempt on, waiting is not the ordinary course of things.
const WORTH_A_LOOK: u32 = 4;
/// The pause while the database does not answer.
const DATABASE_AWAY: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) db: Db,
    pub(crate) payments: PaymentsClient,
    pub(crate) signals: Signals,
    pub(crate) metrics: Metrics,
}

impl Runner {
    /// Runs until `stop`, then waits for the steps that have begun: each ends within a few seconds.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut running = JoinSet::new();
        while !stop.is_cancelled() {
            let pause = match self.claim(CONCURRENCY - running.len()).await {
                Ok(claimed) => {
                    for saga in claimed {
                        let runner = self.clone();
                        running.spawn(async move { runner.step(saga).await });
                    }
                    POLL.mul_f64(rand::random_range(0.75..1.25))
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot look for due checkouts");
                    DATABASE_AWAY
                }
            };
            let is_full = running.len() == CONCURRENCY;
            tokio::select! {
                () = stop.cancelled() => {}
                // Its next step may be due at once.
                Some(ended) = running.join_next() => report(ended),
                () = self.signals.saga_due(), if !is_full => {}
                () = sleep(pause), if !is_full => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            report(ended);
        }
        Ok(())
    }

    async fn claim(&self, free: usize) -> Result<Vec<Claimed>, db::Error> {
        if free == 0 {
            return Ok(vec![]);
        }
        let limit = i64::try_from(free).unwrap_or(i64::MAX);
        let now = OffsetDateTime::now_utc();
        store::sagas::claim(&self.db, limit, now, now + LEASE).await
    }

    /// One step of one saga, in the trace of its order.
    async fn step(self, claimed: Claimed) {
        let step = claimed.saga.step;
        let span = tracing::info_span!(
            "saga step",
            otel.name = format!("saga {}", step.into_str()),
            order_id = %claimed.order_id,
        );
        let (cause, now) = (claimed.traceparent.as_deref(), OffsetDateTime::now_utc());
        telemetry::continue_since(&span, cause, claimed.started_at, now);
        let work = async {
            let started = Instant::now();
            let outcome = self.ask_payments(&claimed).await;
            let now = OffsetDateTime::now_utc();
            let transition = next(&claimed.saga, outcome, now, rand::random_range(0.0..1.0));
            match self.apply(&claimed, &transition, now).await {
                Ok(true) => self.tell(&claimed, &transition, started.elapsed()),
                Ok(false) => tracing::info!("another replica has taken this checkout over"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(
                        error,
                        "a step could not be written down and will be repeated"
                    );
                }
            }
        };
        work.instrument(span).await;
    }

    async fn ask_payments(&self, claimed: &Claimed) -> StepOutcome {
        let now = OffsetDateTime::now_utc();
        if claimed.saga.is_overdue(now) {
            return StepOutcome::Unclear {
                why: "payments gave no clear answer".to_owned(),
            };
        }
        let until = Instant::now() + claimed.saga.time_for_step(now).min(CALL);
        deadline::within(until, self.payments.perform(claimed)).await
    }

    /// Writes down what follows, as a whole; `false` when the lease was lost.
    async fn apply(
        &self,
        claimed: &Claimed,
        transition: &Transition,
        now: OffsetDateTime,
    ) -> anyhow::Result<bool> {
        let mut connection = self.db.get().await?;
        let tx = db::transaction(&mut connection).await?;
        if !store::sagas::advance(&tx, claimed, transition.next, now).await? {
            return Ok(false);
        }
        if let Some(effect) = transition.effect {
            take_effect(&tx, claimed, effect, now).await?;
        }
        let trace = telemetry::current_trace_id();
        let order = claimed.order_id;
        store::timeline::add(&tx, order, now, trace.as_deref(), &transition.entries).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Tells the log, the metrics and those who wait.
    fn tell(&self, claimed: &Claimed, transition: &Transition, took: Duration) {
        log(claimed, transition);
        let outcome = transition
            .entries
            .first()
            .map_or(EntryOutcome::Retrying, |entry| entry.outcome);
        self.metrics.step(claimed.saga.step, outcome, took);
        match transition.effect {
            None => return,
            Some(Effect::Confirm) => {}
            Some(Effect::Pay) => self.metrics.finished(OrderState::Paid, None),
            Some(Effect::Cancel(reason)) => {
                self.metrics.finished(OrderState::Cancelled, Some(reason));
            }
        }
        self.signals.order_has_changed(claimed.order_id);
    }
}

async fn take_effect(
    tx: &Transaction<'_>,
    claimed: &Claimed,
    effect: Effect,
    now: OffsetDateTime,
) -> anyhow::Result<()> {
    let id = claimed.order_id;
    match effect {
        Effect::Confirm => {
            let confirmed = store::orders::confirm(tx, id, now).await?;
            let sequence = confirmed.context("an order to be confirmed was not pending")?;
            store::stock::sell(tx, id).await?;
            let event = OrderConfirmed::of(&order(tx, claimed).await?, now);
            outbox::add(tx, &id.to_string(), sequence, &event).await?;
        }
        Effect::Pay => {
            let is_paid = store::orders::pay(tx, id, now).await?;
            anyhow::ensure!(is_paid, "an order to be paid was not confirmed");
        }
        Effect::Cancel(reason) => {
            let cancelled = store::orders::cancel(tx, id, reason, now).await?;
            let sequence = cancelled.context("an order to be cancelled was not pending")?;
            checkout::put_back(tx, claimed.buyer_id, id).await?;
            store::stock::release(tx, id).await?;
            let event = OrderCancelled::of(&order(tx, claimed).await?, reason);
            outbox::add(tx, &id.to_string(), sequence, &event).await?;
        }
    }
    Ok(())
}

async fn order(tx: &Transaction<'_>, claimed: &Claimed) -> anyhow::Result<Order> {
    store::orders::find(tx, claimed.order_id)
        .await?
        .context("a saga has no order")
}

/// One line a business fact; a warning where a person may have to look.
fn log(claimed: &Claimed, transition: &Transition) {
    let (step, attempt) = (claimed.saga.step.into_str(), claimed.saga.attempt);
    let detail = transition.entries.first().map(|entry| &entry.detail);
    match (transition.effect, transition.next) {
        (Some(Effect::Confirm), _) => tracing::info!("order confirmed"),
        (Some(Effect::Pay), _) => tracing::info!("order paid"),
        (Some(Effect::Cancel(reason)), _) => tracing::info!(%reason, detail, "order cancelled"),
        (None, Next::Again { .. }) if attempt < WORTH_A_LOOK => {
            tracing::info!(step, attempt, detail, "checkout waits");
        }
        (None, Next::Again { .. }) => tracing::warn!(step, attempt, detail, "checkout waits"),
        (None, Next::Step(_) | Next::Ended { .. }) => {
            tracing::info!(step, attempt, detail, "checkout ended");
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a step of a checkout panicked; its lease will end");
    }
}

/// How often the state of all checkouts is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// Keeps the gauges of unfinished checkouts true until `stop`.
pub(crate) async fn measure(
    db: Db,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let client = db.get().await?;
        let (count, oldest) = store::sagas::unfinished(&client).await?;
        drop(client);
        let age = oldest.map_or(0, |since| {
            (OffsetDateTime::now_utc() - since).whole_seconds()
        });
        metrics.sagas_unfinished.set(count);
        metrics.oldest_saga_age.set(age.max(0));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(MEASURE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_belongs_to_the_one_who_took_it_for_as_long_as_a_step_can_take() {
        let take = 2 * db::WITHOUT_CALLER;
        let write_down = 2 * db::WITHOUT_CALLER;
        assert!(LEASE >= take + CALL + write_down);
        assert!(LEASE < Duration::from_secs(30), "a crash is noticed soon");
    }
}
