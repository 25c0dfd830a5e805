//! What passes would make of a Shop, looked at without a write and without a connection to a database. It works as `reconcile` does up to
//! `render`, and takes for granted what needs time: databases that take connections, and migrations that succeed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::{Job, JobStatus},
    },
    jiff::Timestamp,
};
use kube::ResourceExt;

use crate::{
    api::{Shop, ShopStatus},
    cluster::{Cluster, Kind, Tracked},
    config::Config,
    error::Error,
    facts::{
        Facts, ServiceView,
        credentials::{Credentials, imagine},
        database::DatabaseState,
        departures::{Departure, departures},
        location::locate,
        observe::observe,
        ways,
    },
    model::{
        metadata::is_ours,
        validate::{ValidShop, validate},
    },
    naming::{
        labels::{Part, part_of},
        names::ServiceName,
    },
    objects::{
        drift, migration, render,
        resources::{Rendered, Resources},
        revision,
    },
    progress::{
        decide::{Decision, Migration, decide},
        runs::running,
    },
    reason::Reason,
    release::{State, calls, waves},
    run::release::deployment_of,
};

/// What passes would make of a Shop.
pub struct Plan {
    /// All that is known of it.
    pub facts: Facts,
    /// Where the migration of each service stands now.
    pub migrations: BTreeMap<ServiceName, Migration>,
    /// What is to be done once they are.
    pub decision: Decision,
    /// The objects that should be then.
    pub rendered: Resources<Rendered>,
    /// Names of Secrets that are to be made.
    pub secrets: Vec<String>,
}

/// Looks at what is there, and renders what should be.
///
/// # Errors
/// When the Shop is refused, or what is there cannot be read.
pub async fn plan(
    shop: &Shop,
    previous: Option<&ShopStatus>,
    cluster: &Cluster,
    config: &Config,
    now: Timestamp,
) -> Result<Plan, Error> {
    let mut valid = validate(shop, config).map_err(|wrong| Error::Invalid(wrong.join("; ")))?;
    let generation = shop.metadata.generation;
    let ways = ways(previous, generation);
    locate(&mut valid, cluster, &ways)?;
    let observed = observe(&valid, cluster, now).await?;
    let (credentials, secrets) = imagine(&valid, cluster, &observed)?;
    let departures = departures(&valid, cluster, &shop.spec, previous, generation);
    let mut facts = Facts {
        databases: prepared(&valid, &credentials),
        departures,
        shop: valid,
        observed,
        credentials,
        // It decides nothing.
        fill: None,
        ways,
        // Everything comes to its end, sooner or later.
        holds: BTreeMap::new(),
        release_began: None,
        generation,
        version: shop.resource_version(),
        now,
    };
    let services = decide(&facts).services.into_iter();
    let migrations: BTreeMap<_, _> = services
        .map(|(name, decided)| (name, decided.migration))
        .collect();
    migrate(&mut facts, &migrations);
    let decision = decide(&facts);
    let mut rendered = render(&facts, &decision)?;
    let released = released(previous, &facts, &rendered.deployments);
    drift::report(&facts.shop, &mut rendered, |name| released.contains(name));
    Ok(Plan {
        facts,
        migrations,
        decision,
        rendered,
        secrets,
    })
}

/// The services of which a release is under way, or would begin.
fn released(
    previous: Option<&ShopStatus>,
    facts: &Facts,
    rendered: &[Deployment],
) -> BTreeSet<ServiceName> {
    let known = previous.into_iter().flat_map(|status| &status.releases);
    let under_way = known.filter(|release| State::of(release).is_under_way());
    let under_way = under_way.map(|release| ServiceName::from(release.name.as_str()));
    let begins = |service: &ServiceView<'_>| {
        let live = service.seen.deployment.as_deref();
        let wanted = deployment_of(service.name(), rendered);
        live.and_then(revision::of_deployment) != wanted.and_then(revision::of_deployment)
    };
    let begin = facts.services().filter(begins);
    let begin = begin.map(|service| service.name().clone());
    under_way.chain(begin).collect()
}

/// Databases, as they are when all goes well.
fn prepared(shop: &ValidShop, credentials: &Credentials) -> BTreeMap<ServiceName, DatabaseState> {
    let services = shop.services.values();
    let with_database = services.filter(|service| service.definition.database.is_some());
    let state = |name: &ServiceName| match &credentials.services.get(name)?.database {
        Ok(_) => Some(DatabaseState::Prepared),
        Err(lacking) => Some(DatabaseState::Refused {
            reason: Reason::SecretIncomplete,
            message: lacking.clone(),
        }),
    };
    let states =
        with_database.filter_map(|service| Some((service.name.clone(), state(&service.name)?)));
    states.collect()
}

/// Has the migrations succeed that can.
fn migrate(facts: &mut Facts, migrations: &BTreeMap<ServiceName, Migration>) {
    for (name, service) in &facts.shop.services {
        let succeeds = match migrations.get(name) {
            Some(
                Migration::Waiting
                | Migration::After(_)
                | Migration::Running
                | Migration::Superseded(_),
            ) => true,
            Some(
                Migration::Unneeded | Migration::Done | Migration::Kept | Migration::Failed(_),
            )
            | None => false,
        };
        let seen = facts.observed.services.get_mut(name);
        let Some(seen) = seen.filter(|_| succeeds) else {
            continue;
        };
        let claim = seen.database.claim.as_ref();
        let claim = claim.and_then(|claim| claim.uid()).unwrap_or_default();
        let status = JobStatus {
            succeeded: Some(1),
            ..JobStatus::default()
        };
        seen.migration = Some(Arc::new(Job {
            status: Some(status),
            ..migration::job(&facts.shop, service, &claim)
        }));
    }
}

/// An object by its kind and name, and whose it is.
pub type Named = (String, String, Part);

impl Plan {
    /// The services that a release of the shop would reach, wave by wave; none where its version stays.
    pub fn waves(&self, shop: &Shop) -> Vec<Vec<ServiceName>> {
        let status = shop.status.as_ref();
        let last = status.and_then(|status| status.release.as_ref());
        if last.is_none_or(|last| last.version == shop.spec.version) {
            return Vec::new();
        }
        let of_number = waves(&calls(&self.facts), &self.facts.shop.waves);
        let mut reached: BTreeMap<usize, Vec<ServiceName>> = BTreeMap::new();
        for service in self.facts.services() {
            let live = service.seen.deployment.as_deref();
            let runs = live.and_then(running);
            let changes = runs.is_some_and(|runs| runs.image != service.wanted.image);
            if let (true, true, Some(number)) = (
                service.wanted.follows,
                changes,
                of_number.get(service.name()),
            ) {
                let wave = reached.entry(*number).or_default();
                wave.push(service.name().clone());
            }
        }
        reached.into_values().collect()
    }

    /// The objects that passes would delete.
    pub fn superfluous(&self, cluster: &Cluster) -> Vec<Named> {
        // No `..`: an object that is rendered and forgotten here must not compile.
        let Resources {
            service_accounts,
            services,
            network_policies,
            // The broker's configuration; it is there always.
            secrets: _,
            stateful_sets,
            deployments,
            jobs,
            disruption_budgets,
            autoscalers,
            pod_monitors,
            service_monitors,
        } = &self.rendered;
        let shop = &self.facts.shop;
        let beyond = [
            beyond(shop, &cluster.service_accounts, service_accounts),
            beyond(shop, &cluster.services, services),
            beyond(shop, &cluster.network_policies, network_policies),
            beyond(shop, &cluster.stateful_sets, stateful_sets),
            beyond(shop, &cluster.deployments, deployments),
            beyond(shop, &cluster.jobs, jobs),
            beyond(shop, &cluster.disruption_budgets, disruption_budgets),
            beyond(shop, &cluster.autoscalers, autoscalers),
            beyond(shop, &cluster.pod_monitors, pod_monitors),
            beyond(shop, &cluster.service_monitors, service_monitors),
        ];
        let mut all: Vec<_> = beyond.into_iter().flatten().collect();
        all.retain(|(kind, _, part)| self.goes(kind, part));
        all
    }

    /// Whether an object that was not rendered goes: see `apply::prune` and `apply::leave`.
    fn goes(&self, kind: &str, part: &Part) -> bool {
        let Part::Service(name) = part else {
            return false;
        };
        let kinds = self.facts.observed.monitors;
        if !self.facts.shop.services.contains_key(name) {
            let departure = self.facts.departures.get(name);
            return match departure {
                Some(Departure::Leaves | Departure::LeavesForGood) => true,
                Some(Departure::Hidden) | None => false,
            };
        }
        match kind {
            "Job" | "PodDisruptionBudget" | "HorizontalPodAutoscaler" => true,
            "PodMonitor" => kinds.lets_go(&self.facts.shop, kinds.pods),
            "ServiceMonitor" => kinds.lets_go(&self.facts.shop, kinds.services),
            // One that may not run yet is not rendered either, and stays.
            "Deployment" => {
                let decided = self.decision.services.get(name);
                decided.is_some_and(|decided| !decided.placement.apart)
            }
            _ => false,
        }
    }
}

/// Objects of the Shop that were not rendered.
fn beyond<K: Kind>(shop: &ValidShop, tracked: &Tracked<K>, rendered: &[K]) -> Vec<Named> {
    let rendered: BTreeSet<_> = rendered.iter().map(ResourceExt::name_any).collect();
    let live = tracked.of_shop(&shop.namespace, &shop.name).into_iter();
    live.filter(|object| is_ours(shop, &**object) && !rendered.contains(&object.name_any()))
        .map(|object| {
            let kind = K::kind(&()).into_owned();
            (kind, object.name_any(), part_of(&*object))
        })
        .collect()
}
