//! Runs reconciles: when something changed, one at a time for each Shop, contained so that a panic or a hang in one Shop
//! leaves the others alone.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{FutureExt, Stream, StreamExt, future::ready};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Client, Resource, ResourceExt,
    runtime::{
        Config as ControllerConfig, Controller, Predicate, PredicateConfig, WatchStreamExt,
        controller::{Action, Error as ControllerError},
        events::Reporter,
        predicates,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher,
    },
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    backoff::{Backoffs, Key, Revision},
    claims::{Claim, Claims},
    cluster::{Cluster, FIELD_MANAGER, Scope, watch_all},
    config::Config,
    database::Databases,
    deletion,
    error::Error,
    hash::Fingerprint,
    metrics::Metrics,
    places::Places,
    reconcile::{Context, Done, reconcile},
    report::{self, Problem},
    status::ParsedShop,
};

/// The client tries again by itself, in the worst case for minutes: this is the end of it.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);
/// A status that tells of a failure must not hang as the reconcile did.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);
/// Changes that come together make one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Shops at the same time; see [`Places`] for those of one namespace.
const CONCURRENCY: u16 = 64;
/// A Shop that another install looks after.
const NOT_OURS: Duration = Duration::from_secs(20);

struct Running {
    context: Context,
    claims: Claims,
    backoffs: Backoffs,
    places: Places,
}

/// Reconciles all Shops until told to stop.
///
/// # Errors
/// When the watches end by themselves.
pub async fn run(
    client: Client,
    config: Config,
    claims: Claims,
    databases: Databases,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let scope = config.watch_namespaces.clone();
    let (cluster, mut changed, mut pump) = Cluster::watch(&client, &scope, &metrics);
    // Each Shop is reconciled at the start, so that what the first lists tell of it need not be kept.
    let forget_changes = async { while changed.next().await.is_some() {} };
    tokio::select! {
        ready = cluster.ready() => ready.context("a watch ended before its first list")?,
        () = forget_changes => anyhow::bail!("the watches of owned objects ended"),
        () = stop.cancelled() => return Ok(()),
    }
    tracing::info!("all watches have their first list");

    let reporter = Reporter {
        controller: FIELD_MANAGER.into(),
        instance: Some(config.pod_name.clone()),
    };
    let context = Context::new(
        client.clone(),
        cluster,
        databases,
        config,
        metrics,
        reporter,
    );
    let running = Arc::new(Running {
        context,
        claims,
        backoffs: Backoffs::default(),
        places: Places::default(),
    });

    let (reader, writer) = reflector::store();
    let shops = watch_shops(
        &client,
        &scope,
        reader.clone(),
        writer,
        running.context.metrics.clone(),
    );
    let controller = Controller::for_stream(shops, reader)
        .with_config(
            ControllerConfig::default()
                .debounce(DEBOUNCE)
                .concurrency(CONCURRENCY),
        )
        .reconcile_on(changed.map(|(namespace, shop)| ObjectRef::new(&shop).within(&namespace)))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile_in_turn, on_error, running.clone())
        .for_each(|result| log(result, &running));
    tokio::select! {
        () = controller => Ok(()),
        _ = &mut pump => anyhow::bail!("the watches of owned objects ended"),
    }
}

/// The Shops whenever their user changed something, or anybody their status. Our own status writes are among that: each costs
/// a reconcile that finds nothing to do. A status that somebody else overwrote is noticed by it.
fn watch_shops(
    client: &Client,
    scope: &Scope,
    reader: Store<ParsedShop>,
    writer: Writer<ParsedShop>,
    metrics: Metrics,
) -> impl Stream<Item = Result<ParsedShop, watcher::Error>> + Send + 'static {
    watch_all(scope.apis(client), &watcher::Config::default(), reader)
        .modify(|shop| shop.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(written_by_user.combine(status), PredicateConfig::default())
        // A controller that is told of an error pauses all that triggers it. Each watch has a back-off of its own.
        .filter_map(move |change| {
            if let Err(error) = &change {
                metrics.watch_failed("Shop");
                tracing::warn!(%error, "a watch of Shops failed and is started again");
            }
            ready(change.ok().map(Ok))
        })
}

/// What a user writes into a Shop.
fn written_by_user(shop: &ParsedShop) -> Option<u64> {
    predicates::generation
        .combine(predicates::annotations)
        .hash_property(shop)
}

fn status(shop: &ParsedShop) -> Option<u64> {
    let status = shop.0.as_ref().ok()?.status.as_ref()?;
    Some(hash_of(&Fingerprint::of(status)))
}

fn revision(shop: &ParsedShop) -> Revision {
    hash_of(&(&shop.meta().uid, written_by_user(shop)))
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn key(shop: &ParsedShop) -> Key {
    (shop.namespace().unwrap_or_default(), shop.name_any())
}

/// Whether a Shop is to be reconciled now, and everything that every reconcile needs around it.
async fn reconcile_in_turn(shop: Arc<ParsedShop>, running: Arc<Running>) -> Result<Action, Error> {
    let key = key(&shop);
    let now = Instant::now();
    if let Some(wait) = running.backoffs.remaining(&key, revision(&shop), now) {
        return Ok(Action::requeue(wait));
    }
    let _place = match running.places.take(&key.0) {
        Ok(place) => place,
        Err(wait) => return Ok(Action::requeue(wait.mul_f64(rand::random_range(1.0..2.0)))),
    };
    let deleted = shop.meta().deletion_timestamp.is_some();
    match running.claims.of(&key.0).await {
        Claim::Ours => {}
        // No claim can be made any more in a namespace that goes with its Shops, and a finalizer must not hold it up.
        Claim::Unknown if deleted => {}
        Claim::Theirs | Claim::Unknown => return Ok(Action::requeue(NOT_OURS)),
    }
    if deleted {
        // The rest of its objects goes by itself.
        let finalized = deletion::finalize(&shop, &running.context.cluster);
        catch_panic_and_timeout(finalized, RECONCILE_TIMEOUT).await?;
        return Ok(Action::await_change());
    }
    let done = reconcile_isolated(&shop, &running.context).await?;
    running.backoffs.clear(&key);
    Ok(done.action)
}

/// A span, a clock, a fence for panics and hangs; a status for what the reconcile could not tell itself.
async fn reconcile_isolated(shop: &ParsedShop, context: &Context) -> Result<Done, Error> {
    let span = tracing::info_span!(
        "reconcile",
        namespace = shop.namespace().unwrap_or_default(),
        shop = shop.name_any(),
        generation = shop.meta().generation,
    );
    let started = Instant::now();
    let result = catch_panic_and_timeout(reconcile_parsed(shop, context), RECONCILE_TIMEOUT)
        .instrument(span)
        .await;
    let outcome = match &result {
        Ok(Done { settled: true, .. }) => "settled",
        Ok(Done { settled: false, .. }) => "waiting",
        Err(error) => {
            count_error(&context.metrics, error);
            report_failure(shop, error, context).await;
            "error"
        }
    };
    context.metrics.reconciled(outcome, started.elapsed());
    result
}

async fn reconcile_parsed(shop: &ParsedShop, context: &Context) -> Result<Done, Error> {
    match &shop.0 {
        Ok(shop) => reconcile(shop, context, Timestamp::now()).await,
        Err(invalid) => Err(Error::Invalid(format!(
            "the Shop cannot be read: {}",
            invalid.error
        ))),
    }
}

/// Writes into the status what the reconcile could not write itself, because it broke off or never began.
async fn report_failure(shop: &ParsedShop, error: &Error, context: &Context) {
    let statuses = &context.statuses;
    let previous = match (&shop.0, error) {
        (Err(_), _) => statuses.last_of_unparsed(shop),
        (Ok(shop), Error::Panicked(_) | Error::TimedOut(_)) => statuses.last(shop),
        (
            Ok(_),
            Error::Invalid(_)
            | Error::Kube { .. }
            | Error::NameTaken { .. }
            | Error::Leftover { .. },
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
    let told =
        catch_panic_and_timeout(statuses.publish(shop, previous, status), STATUS_TIMEOUT).await;
    if let Err(error) = told {
        tracing::warn!(%error, "a status could not be written");
    }
}

fn count_error(metrics: &Metrics, error: &Error) {
    metrics.failed(error.class().as_str());
    match error {
        Error::Panicked(_) => metrics.panicked(),
        Error::TimedOut(_) => metrics.timed_out(),
        Error::Invalid(_)
        | Error::Kube { .. }
        | Error::NameTaken { .. }
        | Error::Leftover { .. } => {}
    }
}

/// Turns a panic and a hang into errors. Without it a panic would end the controller for all Shops.
async fn catch_panic_and_timeout<T>(
    work: impl Future<Output = Result<T, Error>>,
    longest: Duration,
) -> Result<T, Error> {
    match tokio::time::timeout(longest, AssertUnwindSafe(work).catch_unwind()).await {
        Err(_) => Err(Error::TimedOut(longest)),
        Ok(Err(panic)) => Err(Error::Panicked(panic_message(&*panic))),
        Ok(Ok(result)) => result,
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".into())
}

fn on_error(shop: Arc<ParsedShop>, _: &Error, running: Arc<Running>) -> Action {
    let (now, jitter) = (Instant::now(), rand::random());
    let wait = running
        .backoffs
        .failed(&key(&shop), revision(&shop), now, jitter);
    Action::requeue(wait)
}

async fn log(
    result: Result<(ObjectRef<ParsedShop>, Action), ControllerError<Error, watcher::Error>>,
    running: &Running,
) {
    match result {
        Ok((shop, action)) => tracing::debug!(%shop, ?action, "reconciled"),
        Err(ControllerError::ObjectNotFound(shop)) => {
            tracing::debug!(%shop, "gone");
            let key = (shop.namespace.unwrap_or_default(), shop.name);
            running.backoffs.clear(&key);
            running.context.forget(&key.0, &key.1).await;
        }
        Err(ControllerError::ReconcilerFailed(error, shop)) => {
            tracing::warn!(%shop, class = error.class().as_str(), %error, "a reconcile failed");
        }
        Err(error @ (ControllerError::QueueError(_) | ControllerError::RunnerError(_))) => {
            tracing::error!(%error, "the controller's queue failed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_words() {
        let result = catch_panic_and_timeout(
            async { panic!("boom {}", 1) as Result<(), Error> },
            RECONCILE_TIMEOUT,
        )
        .await;
        assert!(matches!(result, Err(Error::Panicked(words)) if words == "boom 1"));
    }

    #[tokio::test]
    async fn a_hang_becomes_an_error() {
        let result = catch_panic_and_timeout(
            std::future::pending::<Result<(), Error>>(),
            Duration::from_millis(1),
        )
        .await;
        assert!(matches!(result, Err(Error::TimedOut(_))));
    }
}
