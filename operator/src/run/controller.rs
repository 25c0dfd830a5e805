//! Runs reconciles: when something changed, and one at a time for each Shop.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{Stream, StreamExt, future::ready};
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

use crate::{
    apply::refusals::Refusals,
    cluster::{Cluster, FIELD_MANAGER, Scope, watch_all},
    config::Config,
    error::Error,
    facts::database::Databases,
    hash::Fingerprint,
    metrics::Metrics,
    report::statuses::ParsedShop,
    run::{
        backoff::{Backoffs, Key, Revision, Standing},
        claims::{Claim, Claims},
        deletion,
        identity::identity,
        isolation::{Outcome, isolated},
        places::Places,
        reconcile::{Context, reconcile},
    },
};

/// Changes that come together make one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// The controller itself sets no bound to the Shops that are worked on at the same time: see [`Places`].
const NO_BOUND: u16 = 0;
/// A Shop that another install looks after.
const NOT_OURS: Duration = Duration::from_secs(20);

struct Running {
    context: Context,
    shops: Store<ParsedShop>,
    claims: Claims,
    backoffs: Backoffs,
    places: Places,
    stop: CancellationToken,
}

impl Running {
    /// A Shop as it is now; none where it is gone.
    fn newest(&self, shop: &ParsedShop) -> Option<Arc<ParsedShop>> {
        self.shops.get(&ObjectRef::from_obj(shop))
    }

    /// Keeps nothing of a Shop that is gone.
    async fn forget(&self, key: &Key) {
        self.backoffs.clear(key);
        self.context.forget(&key.0, &key.1).await;
    }
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
    let identity = identity(&config);
    let context = Context::new(
        client.clone(),
        cluster,
        databases,
        config,
        metrics,
        reporter,
        identity,
    );
    let (reader, writer) = reflector::store();
    let running = Arc::new(Running {
        context,
        shops: reader.clone(),
        claims,
        backoffs: Backoffs::default(),
        places: Places::default(),
        stop: stop.clone(),
    });
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
                .concurrency(NO_BOUND),
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

/// The Shops whenever their user changed something, or anybody their status or finalizers. Our own status writes are among that:
/// each costs a reconcile that finds nothing to do. A status that somebody else overwrote, and a finalizer that somebody else took
/// away, are noticed by it.
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
        .predicate_filter(
            written_by_user
                .combine(predicates::finalizers)
                .combine(status),
            PredicateConfig::default(),
        )
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

/// Waits for a place, then does what is to be done now for the Shop as it is by then.
async fn reconcile_in_turn(shop: Arc<ParsedShop>, running: Arc<Running>) -> Result<Action, Error> {
    let namespace = shop.namespace().unwrap_or_default();
    let place = tokio::select! {
        place = running.places.take(&namespace) => place,
        // What has not begun does not begin any more.
        () = running.stop.cancelled() => return Ok(Action::await_change()),
    };
    let key = key(&shop);
    let Some(shop) = running.newest(&shop) else {
        running.forget(&key).await;
        return Ok(Action::await_change());
    };
    let (revision, began) = (revision(&shop), Instant::now());
    let withheld = match running.backoffs.standing(&key, revision, began) {
        Standing::Free => Refusals::default(),
        Standing::Withholds(refusals) => refusals,
        Standing::Waits(wait) => return Ok(Action::requeue(wait)),
    };
    let work = reconcile_ours(&shop, &running, &withheld);
    // In a box, so that the many that wait above are small.
    let result = Box::pin(isolated(&shop, &running.context, place, work)).await;
    let (backoffs, now, jitter) = (&running.backoffs, Instant::now(), rand::random());
    if let Ok(Outcome::NotOurs | Outcome::Finalized) = &result {
        running.context.metrics.forget_shop(&key.0, &key.1);
    }
    let done = match result {
        Ok(Outcome::NotOurs) => return Ok(Action::requeue(NOT_OURS)),
        Ok(Outcome::Finalized) => return Ok(Action::await_change()),
        Ok(Outcome::Reconciled(done)) => done,
        Err(error) => {
            backoffs.failed(&key, revision, now, jitter);
            return Err(error);
        }
    };
    if done.refusals.is_empty() {
        backoffs.clear(&key);
        return Ok(Action::requeue(done.next_check));
    }
    let wait = backoffs.refused(&key, revision, done.refusals, began, now, jitter);
    Ok(Action::requeue(match done.failure {
        Some(_) => wait.min(done.next_check),
        // A volume that cannot grow is asked again when there is another reason to look.
        None => done.next_check,
    }))
}

async fn reconcile_ours(
    shop: &ParsedShop,
    running: &Running,
    withheld: &Refusals,
) -> Result<Outcome, Error> {
    let context = &running.context;
    let deleted = shop.meta().deletion_timestamp.is_some();
    let namespace = shop.namespace().unwrap_or_default();
    match running.claims.of(&namespace).await {
        Claim::Ours => {}
        // No claim can be made any more in a namespace that goes with its Shops, and a finalizer must not hold it up.
        Claim::Unknown if deleted => {}
        Claim::Theirs | Claim::Unknown => return Ok(Outcome::NotOurs),
    }
    if deleted {
        deletion::finalize(shop, &context.cluster).await?;
        return Ok(Outcome::Finalized);
    }
    match &shop.0 {
        Ok(shop) => {
            let done = reconcile(shop, context, withheld, Timestamp::now()).await?;
            Ok(Outcome::Reconciled(done))
        }
        Err(invalid) => Err(Error::Invalid(format!(
            "the Shop cannot be read: {}",
            invalid.error
        ))),
    }
}

/// Its back-off has begun where the revision that failed is known: the Shop may have been changed since.
fn on_error(shop: Arc<ParsedShop>, _: &Error, running: Arc<Running>) -> Action {
    Action::requeue(running.backoffs.rest(&key(&shop), Instant::now()))
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
            running.forget(&key).await;
        }
        Err(ControllerError::ReconcilerFailed(error, shop)) => {
            tracing::warn!(%shop, class = error.class().as_str(), %error, "a reconcile failed");
        }
        Err(error @ (ControllerError::QueueError(_) | ControllerError::RunnerError(_))) => {
            tracing::error!(%error, "the controller's queue failed")
        }
    }
}
