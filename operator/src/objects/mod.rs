//! The objects of a Shop as they should be: from what is wanted and what was decided to Kubernetes objects, and nothing else.

pub mod autoscaler;
pub mod broker;
pub mod database;
pub mod deployment;
pub mod disruption_budget;
pub mod migration;
pub mod network_policy;
mod pod;
pub mod resources;
pub mod service;
pub mod service_account;

use kube::ResourceExt;

use crate::{
    facts::{Contents, Facts, ServiceView, credentials::Credentials, database::incarnation},
    objects::resources::{Rendered, Resources},
    progress::decide::{DatabaseDecision, Decision, ServiceDecision},
};

/// Renders everything that is to be there.
pub fn render(facts: &Facts, decision: &Decision) -> Resources<Rendered> {
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
    for service in facts.services() {
        let Some(decided) = decision.services.get(service.name()) else {
            continue;
        };
        let stream_size = decision.stream_size;
        render_service(&service, decided, stream_size, &contents, &mut resources);
        if let Some(database) = &decided.database {
            render_database(
                &service,
                decided,
                database,
                &facts.credentials,
                &mut resources,
            );
        }
    }
    resources
}

fn render_service(
    service: &ServiceView<'_>,
    decided: &ServiceDecision,
    stream_size: u64,
    contents: &Contents<'_>,
    resources: &mut Resources<Rendered>,
) {
    let (shop, wanted) = (service.shop, service.wanted);
    resources
        .service_accounts
        .push(service_account::service_account(shop, wanted));
    resources.services.push(service::service(shop, wanted));
    resources
        .network_policies
        .push(network_policy::service(shop, wanted));
    if let Some(runs) = &decided.runs {
        let deployment = deployment::deployment(shop, wanted, runs, stream_size, contents);
        resources.deployments.push(deployment);
    }
    if decided.disruption_budget {
        resources
            .disruption_budgets
            .push(disruption_budget::disruption_budget(shop, wanted));
    }
    resources
        .autoscalers
        .extend(autoscaler::autoscaler(shop, wanted));
}

fn render_database(
    service: &ServiceView<'_>,
    decided: &ServiceDecision,
    database: &DatabaseDecision,
    credentials: &Credentials,
    resources: &mut Resources<Rendered>,
) {
    let (shop, wanted, seen) = (service.shop, service.wanted, &service.seen.database);
    let prepared = match database.prepared {
        true => Some(incarnation(shop, &wanted.name, seen, credentials)),
        false => seen.prepared_for().map(str::to_owned),
    };
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
    if decided.migration.has_job() {
        let claim = seen.claim.as_ref();
        let claim = claim.and_then(|claim| claim.uid()).unwrap_or_default();
        resources.jobs.push(migration::job(shop, wanted, &claim));
    }
}
