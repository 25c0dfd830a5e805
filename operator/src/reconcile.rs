//! One reconcile of one Shop: observe, validate, decide, render, apply, prune, report.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        controller::Action,
        events::{Event, EventType, Recorder},
    },
};
use serde_json::json;

use crate::{
    api::{Shop, ShopStatus},
    apply::{Outcome, apply},
    cluster::{Cluster, FIELD_MANAGER},
    config::Config,
    credentials,
    database::{DatabaseState, Databases},
    decide::decide,
    error::Error,
    metrics::Metrics,
    names,
    observe::observe,
    prune::prune,
    render::render,
    report::{self, Findings, Problem},
    validate::{ValidShop, validate},
};

/// A database that starts tells nobody: it is asked.
const ASK_DATABASE_AGAIN: Duration = Duration::from_millis(300);
/// A Secret of the user carries no label of ours, so that no watch tells of it.
const LOOK_FOR_SECRET_AGAIN: Duration = Duration::from_secs(10);
/// Everything else is watched; this only catches what a watch may have lost.
const LOOK_AGAIN_WHILE_WORKING: Duration = Duration::from_secs(30);
/// The same for a Shop where nothing is to be done.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// What a reconcile works with.
pub struct Context {
    /// The cluster as we see it.
    pub cluster: Cluster,
    /// The databases of all Shops.
    pub databases: Databases,
    /// The operator's own settings.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// Writes Kubernetes events.
    pub recorder: Recorder,
    /// What was last written, by namespace and name: the store may not have it yet.
    pub statuses: Mutex<HashMap<(String, String), Written>>,
}

/// A status that was written.
pub struct Written {
    uid: Option<String>,
    version: Option<String>,
    status: ShopStatus,
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
    let valid = match validate(shop, &context.config) {
        Ok(valid) => valid,
        Err(wrong) => {
            let problem = Problem::blocked("Invalid", wrong.join("; "));
            report_stopped(shop, context, &problem, now).await?;
            return Err(Error::Invalid(problem.message));
        }
    };
    match work(shop, &valid, context, now).await {
        // Before anything of the Shop could be looked at: say so, and leave what is there alone.
        Err(Stopped::Early(error)) => {
            report_stopped(shop, context, &Problem::from(&error), now).await?;
            Err(error)
        }
        Err(Stopped::Late(error)) => Err(error),
        Ok(done) => Ok(done),
    }
}

enum Stopped {
    /// Nothing was applied, nothing was reported.
    Early(Error),
    /// The status tells.
    Late(Error),
}

async fn work(
    shop: &Shop,
    valid: &ValidShop,
    context: &Context,
    now: Timestamp,
) -> Result<Done, Stopped> {
    let Context {
        cluster,
        databases,
        metrics,
        ..
    } = context;
    let observed = observe(valid, cluster).await.map_err(Stopped::Early)?;
    let credentials = credentials::provide(valid, cluster)
        .await
        .map_err(Stopped::Early)?;
    let databases = databases.prepare(valid, &observed, &credentials).await;

    let decision = decide(valid, &observed, &databases);
    let rendered = render(valid, &decision, &observed, &credentials);
    let outcome = apply(valid, cluster, rendered).await;
    let pruned = if outcome.failures.is_empty() {
        prune(valid, cluster, &outcome.applied, metrics).await
    } else {
        Ok(())
    };

    let findings = Findings {
        shop: valid,
        observed: &observed,
        databases: &databases,
        decision: &decision,
        outcome: &outcome,
    };
    let previous = last_status(shop, context);
    let status = report::status(
        previous.as_ref(),
        shop.metadata.generation,
        &shop.spec.version,
        &findings,
        now,
    );
    let settled = status
        .conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    publish(shop, context, previous, status)
        .await
        .map_err(Stopped::Late)?;

    pruned.map_err(Stopped::Late)?;
    if let Some(error) = worst(outcome) {
        return Err(Stopped::Late(error));
    }
    let wait = if databases
        .iter()
        .any(|(_, state)| *state == DatabaseState::Connecting)
    {
        ASK_DATABASE_AGAIN
    } else if observed
        .user_secrets
        .iter()
        .any(|secret| secret.content.is_none() || !secret.missing_keys.is_empty())
    {
        LOOK_FOR_SECRET_AGAIN
    } else if settled {
        // Not all Shops at the same moment.
        LOOK_AGAIN.mul_f64(rand::random_range(1.0..1.2))
    } else {
        LOOK_AGAIN_WHILE_WORKING
    };
    Ok(Done {
        action: Action::requeue(wait),
        settled,
    })
}

fn worst(outcome: Outcome) -> Option<Error> {
    outcome
        .failures
        .into_iter()
        .map(|failure| failure.error)
        .next()
}

async fn report_stopped(
    shop: &Shop,
    context: &Context,
    problem: &Problem,
    now: Timestamp,
) -> Result<(), Error> {
    let previous = last_status(shop, context);
    let status = report::stopped(previous.as_ref(), shop.metadata.generation, problem, now);
    publish(shop, context, previous, status).await
}

/// The newer of what the store has and what we wrote.
fn last_status(shop: &Shop, context: &Context) -> Option<ShopStatus> {
    let statuses = lock(&context.statuses);
    let number = |version: &Option<String>| {
        version
            .as_ref()
            .and_then(|version| version.parse::<u64>().ok())
    };
    let written = statuses.get(&key_of(shop)).filter(|written| {
        written.uid == shop.metadata.uid
            && number(&written.version) > number(&shop.metadata.resource_version)
    });
    written
        .map(|written| written.status.clone())
        .or_else(|| shop.status.clone())
}

/// Writes the status if it says something new, and an event for what changed.
async fn publish(
    shop: &Shop,
    context: &Context,
    previous: Option<ShopStatus>,
    status: ShopStatus,
) -> Result<(), Error> {
    if previous
        .as_ref()
        .is_some_and(|previous| report::same(previous, &status))
    {
        return Ok(());
    }
    let name = shop.name_any();
    let api: Api<Shop> = Api::namespaced(
        context.cluster.client.clone(),
        &shop.namespace().unwrap_or_default(),
    );
    let patch = Patch::Apply(json!({
        "apiVersion": Shop::api_version(&()),
        "kind": Shop::kind(&()),
        // Not the status of another Shop that took the name meanwhile.
        "metadata": {"uid": shop.metadata.uid},
        "status": status,
    }));
    let params = PatchParams::apply(FIELD_MANAGER)
        .force()
        .validation_strict();
    let written = match api.patch_status(&name, &params, &patch).await {
        Ok(written) => written,
        // The Shop was deleted while we worked.
        Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(()),
        Err(source) => return Err(Error::kube(format!("status of Shop {name}"))(source)),
    };
    notify(shop, context, previous.as_ref(), &status).await;
    let written = Written {
        uid: written.metadata.uid,
        version: written.metadata.resource_version,
        status,
    };
    lock(&context.statuses).insert(key_of(shop), written);
    Ok(())
}

/// Events are a courtesy: a reconcile does not fail for want of one.
async fn notify(
    shop: &Shop,
    context: &Context,
    previous: Option<&ShopStatus>,
    status: &ShopStatus,
) {
    for notice in report::notices(previous, status) {
        tracing::info!(
            reason = notice.reason,
            service = notice.service,
            "{}",
            notice.note
        );
        let event = Event {
            type_: if notice.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: notice.reason.into(),
            note: Some(notice.note),
            action: "Reconcile".into(),
            // Tells the recorder the events of two services apart.
            secondary: Some(ObjectReference {
                api_version: Some("apps/v1".into()),
                kind: Some("Deployment".into()),
                namespace: shop.namespace(),
                name: Some(format!("{}-{}", shop.name_any(), notice.service)),
                ..ObjectReference::default()
            }),
        };
        if let Err(error) = context
            .recorder
            .publish(&event, &shop.object_ref(&()))
            .await
        {
            tracing::warn!(%error, "an event could not be written");
        }
    }
}

impl Context {
    /// Forgets a Shop that is no longer there.
    pub async fn forget(&self, namespace: &str, name: &str) {
        lock(&self.statuses).remove(&(namespace.to_owned(), name.to_owned()));
        let databases =
            crate::catalogue::ServiceName::ALL.map(|service| names::database(name, service));
        self.databases.forget(namespace, &databases).await;
    }
}

fn key_of(shop: &Shop) -> (String, String) {
    (shop.namespace().unwrap_or_default(), shop.name_any())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic while the lock was held left at worst one entry out: the map itself is whole.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
