//! One reconcile of one Shop: validate, observe, resolve, decide, render, release, apply, prune, report.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, runtime::events::Reporter};

use crate::{
    api::{Shop, ShopStatus},
    apply::{
        apply, conclude_migrations,
        leave::leave,
        prune::prune,
        refusals::{Failure, Refusals},
        volumes,
    },
    cluster::Cluster,
    config::Config,
    error::{Class, Error},
    facts::{
        Facts,
        broker::Brokers,
        credentials,
        database::{DatabaseState, Databases},
        departures::departures,
        http::Http,
        location::locate,
        monitors::Monitoring,
        observe::observe,
        trouble::Problem,
        ways,
    },
    metrics::Metrics,
    model::validate::validate,
    objects::{render, weakened::weakened},
    progress::decide::decide,
    release::{ignored, resolve},
    report::{self, Findings, statuses::Statuses},
    run::{
        deletion,
        release::{Known, release},
    },
};

/// A database that starts tells nobody: it is asked.
pub const RETRY_DATABASE: Duration = Duration::from_millis(300);
/// One that takes no connections for long.
const RETRY_UNREACHABLE_DATABASE: Duration = Duration::from_secs(5);
/// A Secret of the user carries no label of ours, so that no watch tells of it.
const RECHECK_MISSING_SECRET: Duration = Duration::from_secs(10);
/// A broker that has not said yet how full it is.
const RECHECK_BROKER: Duration = Duration::from_secs(60);
/// Everything else is watched; this only catches what a watch may have lost.
const RECHECK_WHILE_WORKING: Duration = Duration::from_secs(30);
/// No watch tells that the cluster has got a kind of monitor.
const RECHECK_MONITORS: Duration = Duration::from_secs(30);
/// The same for a Shop where nothing is to be done.
const RECHECK_SETTLED: Duration = Duration::from_secs(300);
/// The same where it names Secrets of the user, whose content may change.
const RECHECK_SECRETS: Duration = Duration::from_secs(40);

/// What reconciles work with.
pub struct Context {
    /// The cluster as we see it.
    pub cluster: Cluster,
    /// The databases of all Shops.
    pub databases: Databases,
    /// The brokers of all Shops.
    pub brokers: Brokers,
    /// Asks pods what they have answered.
    pub http: Http,
    /// The operator's own settings.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// Where results are told.
    pub statuses: Statuses,
    /// A fingerprint of this program and of its settings: another one may make other pods of the same Shop.
    pub identity: String,
}

/// What came of a reconcile.
#[derive(Debug)]
pub struct Done {
    /// When to look again.
    pub next_check: Duration,
    /// Everything is as the Shop asks.
    pub settled: bool,
    /// The first failure among what was refused, now or before; the rest was done.
    pub failure: Option<Error>,
    /// What is not to be sent again soon: failures, and growth of volumes that cannot grow.
    pub refusals: Refusals,
}

/// Brings the cluster closer to what the Shop asks, and says in its status how far it is. What is withheld is not sent: it was
/// refused a short while ago.
///
/// # Errors
/// When it could not even look at what is there, or not write the status; the status says so as far as it could be written.
pub async fn reconcile(
    shop: &Shop,
    context: &Context,
    withheld: &Refusals,
    now: Timestamp,
) -> Result<Done, Error> {
    let previous = context.statuses.last(shop);
    let mut facts = match gather(shop, previous.as_ref(), context, now).await {
        Ok(facts) => facts,
        Err(error) => {
            tell(shop, previous.as_ref(), context, &error, now).await?;
            return Err(error);
        }
    };

    let before = previous.as_ref();
    let resolved = resolve(shop, before, &mut facts, &context.identity);
    let decision = decide(&facts);
    let mut rendered = match render(&facts, &decision) {
        Ok(rendered) => rendered,
        Err(error) => {
            tell(shop, before, context, &error, now).await?;
            return Err(error);
        }
    };
    let known = Known {
        shop,
        previous: before,
        facts: &facts,
        decision: &decision,
    };
    let released = match release(&known, resolved, &mut rendered, context, withheld).await {
        Ok(released) => released,
        Err(error) => {
            // Somebody edited the Shop meanwhile: that begins a pass of its own.
            if error.class() != Class::Conflict {
                tell(shop, before, context, &error, now).await?;
            }
            return Err(error);
        }
    };
    let previous = context.statuses.last(shop);
    let Facts {
        shop: valid,
        observed,
        ..
    } = &facts;
    let cluster = &context.cluster;
    let weakened = weakened(valid, &rendered);
    let mut outcome = apply(valid, cluster, &decision, rendered, withheld).await;
    // At once: the next pass does not know of it, whatever ends this one.
    for notice in report::reverted(&outcome.edited) {
        context.statuses.publish_once(shop, notice).await;
    }
    let migrations = conclude_migrations(cluster, observed, withheld).await;
    let volumes = volumes::update(valid, cluster, &decision, observed, withheld).await;
    let pruned = prune(
        &facts,
        cluster,
        &decision,
        &released.states,
        &outcome,
        withheld,
    )
    .await;
    let left = leave(valid, cluster, observed, &facts.departures, withheld).await;
    let after = [migrations, volumes.failures, pruned, left];
    outcome.failures.extend(after.into_iter().flatten());
    outcome.failures.extend(released.failures);
    outcome.not_grown = volumes.not_grown;

    let findings = Findings {
        facts: &facts,
        decision: &decision,
        releases: &released.states,
        release: &released.of_shop,
        ignored: &ignored(shop, &facts.shop, now),
        weakened: &weakened,
        outcome: &outcome,
        now,
    };
    let generation = shop.metadata.generation;
    let status = report::status(previous.as_ref(), generation, &shop.spec.version, &findings);
    let settled = report::is_ready(&status);
    context
        .statuses
        .publish(shop, previous.as_ref(), status)
        .await?;

    count_new(&outcome.failures, withheld, &context.metrics);
    let not_grown = outcome.not_grown.iter().map(|volume| &volume.refusal);
    Ok(Done {
        next_check: next_check(&facts, released.wake, settled),
        settled,
        refusals: outcome.failures.iter().chain(not_grown).collect(),
        failure: outcome.failures.into_iter().next().map(|f| f.error),
    })
}

/// Says why nothing was done.
async fn tell(
    shop: &Shop,
    previous: Option<&ShopStatus>,
    context: &Context,
    error: &Error,
    now: Timestamp,
) -> Result<(), Error> {
    let generation = shop.metadata.generation;
    let status = report::stopped(previous, generation, &Problem::from(error), now);
    context.statuses.publish(shop, previous, status).await
}

/// What was withheld was counted and logged when it was refused.
fn count_new(failures: &[Failure], withheld: &Refusals, metrics: &Metrics) {
    for failure in failures {
        if !withheld.contains(&failure.write) {
            let class = failure.error.class().as_str();
            metrics.failed(class);
            tracing::warn!(class, error = %failure.error, "a write was refused");
        }
    }
}

/// Nothing here changes what runs: what fails here leaves the shop as it is. The finalizer comes first: before there are data.
async fn gather(
    shop: &Shop,
    previous: Option<&ShopStatus>,
    context: &Context,
    now: Timestamp,
) -> Result<Facts, Error> {
    let mut valid =
        validate(shop, &context.config).map_err(|wrong| Error::Invalid(wrong.join("; ")))?;
    let version = deletion::set_finalizer(shop, &context.cluster).await?;
    let generation = shop.metadata.generation;
    let ways = ways(previous, generation);
    locate(&mut valid, &context.cluster, &ways)?;
    let observed = observe(&valid, &context.cluster, now).await?;
    let credentials = credentials::provide(&valid, &context.cluster, &observed).await?;
    let prepared = context
        .databases
        .prepare(&valid, &observed, &credentials, now);
    let fill = context
        .brokers
        .fill(&valid.namespace, &valid.name, &observed.broker);
    let (databases, fill) = join(prepared, fill).await;
    let departures = departures(&valid, &context.cluster, &shop.spec, previous, generation);
    Ok(Facts {
        departures,
        shop: valid,
        observed,
        credentials,
        databases,
        fill,
        ways,
        holds: BTreeMap::new(),
        release_began: None,
        generation,
        version,
        now,
    })
}

fn next_check(facts: &Facts, wake: Option<Duration>, settled: bool) -> Duration {
    let wait = wait_for_shop(facts, settled);
    let wait = wake.map_or(wait, |wake| wake.min(wait));
    let wait = match Monitoring::of(&facts.shop, facts.observed.monitors) {
        Monitoring::Lacking(_) => wait.min(RECHECK_MONITORS),
        Monitoring::Nothing | Monitoring::Pods | Monitoring::Services | Monitoring::Useless(_) => {
            wait
        }
    };
    if facts.fill.is_none() && facts.observed.broker.is_serving() {
        return wait.min(RECHECK_BROKER);
    }
    wait
}

fn wait_for_shop(facts: &Facts, settled: bool) -> Duration {
    let any_database = |is: fn(&DatabaseState) -> bool| facts.databases.values().any(is);
    if any_database(|state| *state == DatabaseState::Connecting) {
        RETRY_DATABASE
    } else if any_database(|state| matches!(state, DatabaseState::Unreachable { .. })) {
        RETRY_UNREACHABLE_DATABASE.mul_f64(rand::random_range(1.0..2.0))
    } else if facts
        .observed
        .user_secrets
        .iter()
        .any(|secret| secret.content().is_none())
    {
        RECHECK_MISSING_SECRET
    } else if settled && !facts.observed.user_secrets.is_empty() {
        RECHECK_SECRETS.mul_f64(rand::random_range(1.0..1.2))
    } else if settled {
        // Not all Shops at the same moment.
        RECHECK_SETTLED.mul_f64(rand::random_range(1.0..1.2))
    } else {
        RECHECK_WHILE_WORKING
    }
}

impl Context {
    /// A context that has seen nothing yet.
    pub fn new(
        client: Client,
        cluster: Cluster,
        databases: Databases,
        config: Config,
        metrics: Metrics,
        reporter: Reporter,
        identity: String,
    ) -> Self {
        Self {
            cluster,
            databases,
            brokers: Brokers::default(),
            http: Http::default(),
            config,
            statuses: Statuses::new(client, reporter, metrics.clone()),
            metrics,
            identity,
        }
    }

    /// Forgets a Shop that is no longer there.
    pub async fn forget(&self, namespace: &str, name: &str) {
        self.statuses.forget(namespace, name);
        self.brokers.forget(namespace, name);
        self.databases.forget(namespace, name).await;
    }
}
