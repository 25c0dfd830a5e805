//! The objects of a Shop as they should be: from what is wanted and what was decided to Kubernetes objects, and nothing else.

pub mod autoscaler;
pub mod broker;
pub mod canary;
pub mod database;
pub mod deployment;
pub mod disruption_budget;
pub mod drift;
mod host;
pub mod migration;
mod monitor;
pub mod network_policy;
mod overrides;
mod pod;
pub mod resources;
pub mod revision;
pub mod service;
pub mod service_account;
mod telemetry;
pub mod weakened;

use kube::ResourceExt;

use crate::{
    error::Error,
    facts::{
        Contents, Facts, ServiceView, credentials::Credentials, database::incarnation,
        monitors::Monitoring,
    },
    objects::resources::{Rendered, Resources},
    progress::decide::{DatabaseDecision, Decision, ServiceDecision},
};

/// Renders everything that is to be there.
///
/// # Errors
/// Where a patch of the user does not fit into its object.
pub fn render(facts: &Facts, decision: &Decision) -> Result<Resources<Rendered>, Error> {
    let shop = &facts.shop;
    let broker = &facts.observed.broker;
    let configuration = broker::configuration(shop, broker, &facts.credentials);
    let mut resources = Resources::<Rendered>::default();
    resources.services.push(broker::service(shop));
    resources
        .network_policies
        .push(network_policy::broker(shop, &facts.credentials));
    resources.stateful_sets.push(broker::stateful_set(
        shop,
        &decision.broker_image.image,
        broker,
        &configuration,
    ));
    resources.secrets.push(configuration);
    let contents = facts.contents();
    let monitoring = Monitoring::of(shop, facts.observed.monitors);
    for service in facts.services() {
        let Some(decided) = decision.services.get(service.name()) else {
            continue;
        };
        render_service(&service, decided, decision, &contents, &mut resources);
        let (shop, wanted) = (service.shop, service.wanted);
        monitor::render(shop, wanted, &decision.guests, &monitoring, &mut resources);
        render_migration(&service, decided, &mut resources);
        overrides::put_in(&service, &contents, &mut resources)?;
        if let Some(database) = &decided.database {
            render_database(&service, database, &facts.credentials, &mut resources);
        }
    }
    Ok(resources)
}

fn render_service(
    service: &ServiceView<'_>,
    decided: &ServiceDecision,
    decision: &Decision,
    contents: &Contents<'_>,
    resources: &mut Resources<Rendered>,
) {
    let (shop, wanted) = (service.shop, service.wanted);
    resources
        .service_accounts
        .push(service_account::service_account(shop, wanted));
    if wanted.hosts {
        let policy = network_policy::host(shop, wanted);
        resources.network_policies.push(policy);
    } else {
        let answers = decided.placement.answers;
        let service = service::service(shop, wanted, answers);
        resources.services.push(service);
        let policy = network_policy::service(shop, wanted);
        resources.network_policies.push(policy);
    }
    if let Some(runs) = &decided.runs {
        let deployment = deployment::deployment(shop, wanted, runs, decision, contents);
        resources.deployments.push(deployment);
    }
    if decided.disruption_budget {
        resources
            .disruption_budgets
            .push(disruption_budget::disruption_budget(shop, wanted));
    }
    let autoscaler = autoscaler::autoscaler(shop, wanted);
    let autoscaler = autoscaler.filter(|_| decided.placement.apart);
    resources.autoscalers.extend(autoscaler);
}

fn render_migration(
    service: &ServiceView<'_>,
    decided: &ServiceDecision,
    resources: &mut Resources<Rendered>,
) {
    if decided.migration.has_job() {
        let claim = service.seen.database.claim.as_ref();
        let claim = claim.and_then(|claim| claim.uid()).unwrap_or_default();
        let job = migration::job(service.shop, service.wanted, &claim);
        resources.jobs.push(job);
    }
}

fn render_database(
    service: &ServiceView<'_>,
    database: &DatabaseDecision,
    credentials: &Credentials,
    resources: &mut Resources<Rendered>,
) {
    let (shop, wanted, seen) = (service.shop, service.wanted, &service.seen.database);
    let prepared = prepared(service, database, credentials);
    resources.services.push(database::service(shop, wanted));
    resources
        .network_policies
        .push(network_policy::database(shop, wanted));
    resources.stateful_sets.push(database::stateful_set(
        shop,
        wanted,
        &database.image.image,
        seen,
        prepared.as_deref(),
    ));
}

/// The incarnations of which role and database are made. What was noted stays until something else is known.
fn prepared(
    service: &ServiceView<'_>,
    database: &DatabaseDecision,
    credentials: &Credentials,
) -> Option<String> {
    let (shop, seen) = (service.shop, &service.seen.database);
    let prepared = shop.databases_at(service.name()).filter_map(|held| {
        let incarnation = incarnation(shop, held, seen, credentials);
        let is_known = database.prepared.contains(&held.name) || seen.is_prepared_for(&incarnation);
        is_known.then_some(incarnation)
    });
    let prepared = prepared.collect::<Vec<_>>().join(",");
    match prepared.is_empty() {
        false => Some(prepared),
        true => seen.prepared_for().map(str::to_owned),
    }
}
