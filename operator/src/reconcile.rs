//! One reconcile of one Shop: observe, validate, decide, render, apply, prune, report.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{
    Client,
    runtime::{controller::Action, events::Reporter},
};

use crate::{
    api::{Shop, ShopStatus},
    apply::apply,
    catalogue::{PerService, ServiceName},
    cluster::Cluster,
    config::Config,
    credentials::{self, Credentials},
    database::{DatabaseState, Databases},
    decide::decide,
    error::Error,
    metrics::Metrics,
    names,
    observe::{Observed, observe},
    prune::prune,
    render::render,
    report::{self, Findings, Problem},
    status::Statuses,
    validate::{ValidShop, validate},
};

/// A database that starts tells nobody: it is asked.
pub const ASK_DATABASE_AGAIN: Duration = Duration::from_millis(300);
/// One that takes no connections for long.
const ASK_UNREACHABLE_DATABASE_AGAIN: Duration = Duration::from_secs(5);
/// A Secret of the user carries no label of ours, so that no watch tells of it.
const LOOK_FOR_SECRET_AGAIN: Duration = Duration::from_secs(10);
/// Everything else is watched; this only catches what a watch may have lost.
const LOOK_AGAIN_WHILE_WORKING: Duration = Duration::from_secs(30);
/// The same for a Shop where nothing is to be done.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// What reconciles work with.
pub struct Context {
    /// The cluster as we see it.
    pub cluster: Cluster,
    /// The databases of all Shops.
    pub databases: Databases,
    /// The operator's own settings.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// Where results are told.
    pub statuses: Statuses,
}

/// What came of a reconcile.
#[derive(Debug)]
pub struct Done {
    /// When to look again.
    pub action: Action,
    /// Everything is as the Shop asks.
    pub settled: bool,
}

/// Brings the cluster closer to what the Shop asks, and says in its status how far it is.
///
/// # Errors
/// When something was refused or did not answer; the status says so as far as it could be written.
pub async fn reconcile(shop: &Shop, context: &Context, now: Timestamp) -> Result<Done, Error> {
    let previous = context.statuses.last(shop);
    let seen = match look(shop, context, now).await {
        Ok(seen) => seen,
        Err(error) => {
            let status = report::stopped(
                previous.as_ref(),
                shop.metadata.generation,
                &Problem::from(&error),
                now,
            );
            context
                .statuses
                .publish(shop, previous.as_ref(), status)
                .await?;
            return Err(error);
        }
    };

    let decision = decide(&seen.shop, &seen.observed, &seen.databases);
    let rendered = render(&seen.shop, &decision, &seen.observed, &seen.credentials);
    let outcome = apply(&seen.shop, &context.cluster, &decision, rendered).await;
    let pruned = prune(&seen.shop, &context.cluster, &outcome, &context.metrics).await;

    let findings = Findings {
        shop: &seen.shop,
        observed: &seen.observed,
        databases: &seen.databases,
        decision: &decision,
        outcome: &outcome,
        now,
    };
    let generation = shop.metadata.generation;
    let status = report::status(previous.as_ref(), generation, &shop.spec.version, &findings);
    let settled = is_ready(&status);
    context
        .statuses
        .publish(shop, previous.as_ref(), status)
        .await?;

    pruned?;
    match outcome.failures.into_iter().next() {
        Some(failure) => Err(failure.error),
        None => Ok(Done {
            action: Action::requeue(next_look(&seen, settled)),
            settled,
        }),
    }
}

/// What is wanted and what there is.
struct Seen {
    shop: ValidShop,
    observed: Observed,
    credentials: Credentials,
    databases: PerService<DatabaseState>,
}

/// Nothing here changes what runs: what fails here leaves the shop as it is.
async fn look(shop: &Shop, context: &Context, now: Timestamp) -> Result<Seen, Error> {
    let shop = validate(shop, &context.config).map_err(|wrong| Error::Invalid(wrong.join("; ")))?;
    let observed = observe(&shop, &context.cluster).await?;
    let credentials = credentials::provide(&shop, &context.cluster).await?;
    let databases = context
        .databases
        .prepare(&shop, &observed, &credentials, now)
        .await;
    Ok(Seen {
        shop,
        observed,
        credentials,
        databases,
    })
}

fn is_ready(status: &ShopStatus) -> bool {
    status
        .conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn next_look(seen: &Seen, settled: bool) -> Duration {
    let any_database = |is: fn(&DatabaseState) -> bool| seen.databases.iter().any(|(_, s)| is(s));
    if any_database(|state| *state == DatabaseState::Connecting) {
        ASK_DATABASE_AGAIN
    } else if any_database(|state| matches!(state, DatabaseState::Unreachable { .. })) {
        ASK_UNREACHABLE_DATABASE_AGAIN.mul_f64(rand::random_range(1.0..2.0))
    } else if seen
        .observed
        .user_secrets
        .iter()
        .any(|secret| secret.content().is_none())
    {
        LOOK_FOR_SECRET_AGAIN
    } else if settled {
        // Not all Shops at the same moment.
        LOOK_AGAIN.mul_f64(rand::random_range(1.0..1.2))
    } else {
        LOOK_AGAIN_WHILE_WORKING
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
    ) -> Self {
        Self {
            cluster,
            databases,
            config,
            metrics,
            statuses: Statuses::new(client, reporter),
        }
    }

    /// Forgets a Shop that is no longer there.
    pub async fn forget(&self, namespace: &str, name: &str) {
        self.statuses.forget(namespace, name);
        let databases = ServiceName::ALL.map(|service| names::database(name, service));
        self.databases.forget(namespace, &databases).await;
    }
}
