//! Contains the work on one Shop, so that a panic or a hang leaves the others alone.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use tokio::time::timeout;
use tracing::Instrument;

use crate::{
    error::Error,
    facts::trouble::Problem,
    metrics::Metrics,
    report::{self, statuses::ParsedShop},
    run::{
        places::Place,
        reconcile::{Context, Done},
    },
};

/// The client tries again by itself, in the worst case for minutes: this is the end of it.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);
/// A status that tells of a failure must not hang as the reconcile did.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// What came of the work on a Shop.
pub enum Outcome {
    /// Another install looks after it, or nobody knows.
    NotOurs,
    /// It is being deleted, and the rest of its objects goes by itself.
    Finalized,
    Reconciled(Done),
}

/// A span, a clock, a fence for panics and hangs around the work on a Shop; a status for what that could not tell itself.
///
/// # Errors
/// What the work failed with, a panic, or the time after which it was broken off.
pub async fn isolated(
    shop: &ParsedShop,
    context: &Context,
    place: Place,
    work: impl Future<Output = Result<Outcome, Error>>,
) -> Result<Outcome, Error> {
    let span = tracing::info_span!(
        "reconcile",
        namespace = shop.namespace().unwrap_or_default(),
        shop = shop.name_any(),
        generation = shop.meta().generation,
    );
    let started = Instant::now();
    let work = AssertUnwindSafe(work).catch_unwind();
    let result = match place.run(RECONCILE_TIMEOUT, work).instrument(span).await {
        Ok(result) => result.unwrap_or_else(|panic| Err(panicked(&*panic))),
        Err(after) => Err(Error::TimedOut(after)),
    };
    let outcome = match &result {
        Ok(Outcome::NotOurs | Outcome::Finalized) => return result,
        Ok(Outcome::Reconciled(done)) if done.failure.is_some() => "error",
        Ok(Outcome::Reconciled(done)) if done.settled => "settled",
        Ok(Outcome::Reconciled(_)) => "waiting",
        Err(error) => {
            count_error(&context.metrics, error);
            report_failure(shop, error, context).await;
            "error"
        }
    };
    context.metrics.reconciled(outcome, started.elapsed());
    result
}

/// Writes into the status what the reconcile could not write itself, because it broke off or never began.
async fn report_failure(shop: &ParsedShop, error: &Error, context: &Context) {
    let statuses = &context.statuses;
    let previous = match (&shop.0, error) {
        (Err(_), _) => statuses.last_of_unparsed(shop),
        (Ok(shop), Error::Panicked(_) | Error::TimedOut(_)) => statuses.last(shop),
        // No reconcile tells what keeps it from going.
        (Ok(shop), _) if shop.metadata.deletion_timestamp.is_some() => statuses.last(shop),
        (
            Ok(_),
            Error::Invalid(_)
            | Error::Kube { .. }
            | Error::NameTaken { .. }
            | Error::Leftover { .. }
            | Error::Behind(_),
        ) => return,
    };
    let previous = previous.as_ref();
    let generation = shop.meta().generation;
    let status = report::stopped(
        previous,
        generation,
        &Problem::from(error),
        Timestamp::now(),
    );
    let told = statuses.publish(shop, previous, status);
    let told = timeout(STATUS_TIMEOUT, AssertUnwindSafe(told).catch_unwind()).await;
    let error = match told {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error,
        Ok(Err(panic)) => panicked(&*panic),
        Err(_) => Error::TimedOut(STATUS_TIMEOUT),
    };
    tracing::warn!(%error, "a status could not be written");
}

fn count_error(metrics: &Metrics, error: &Error) {
    metrics.failed(error.class().as_str());
    match error {
        Error::Panicked(_) => metrics.panicked(),
        Error::TimedOut(_) => metrics.timed_out(),
        Error::Invalid(_)
        | Error::Kube { .. }
        | Error::NameTaken { .. }
        | Error::Leftover { .. }
        | Error::Behind(_) => {}
    }
}

/// A panic that was caught. Without that it would end the controller for all Shops.
fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Error::Panicked(text.unwrap_or_else(|| "without words".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_words() {
        let panic = AssertUnwindSafe(async { panic!("boom {}", 1) });
        let panic = panic.catch_unwind().await.expect_err("a panic");
        assert!(matches!(panicked(&*panic), Error::Panicked(words) if words == "boom 1"));
    }
}
