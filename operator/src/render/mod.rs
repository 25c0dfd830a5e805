//! The objects of a Shop as they should be: from what is wanted and what was decided to Kubernetes objects, and nothing else.

pub mod autoscaler;
pub mod broker;
pub mod database;
pub mod deployment;
pub mod disruption_budget;
pub mod migration;
pub mod network_policy;
mod pod;
pub mod service;
pub mod service_account;

use kube::ResourceExt;

use crate::{
    catalogue::ServiceName,
    credentials::Credentials,
    database::incarnation,
    decide::Decision,
    observe::Observed,
    resources::{Rendered, Resources},
    validate::ValidShop,
};

/// Renders everything that is to be there.
pub fn render(
    shop: &ValidShop,
    decision: &Decision,
    observed: &Observed,
    credentials: &Credentials,
) -> Resources<Rendered> {
    let configuration = broker::configuration(shop, &observed.broker, credentials);
    let mut resources = Resources::<Rendered>::default();
    resources.services.push(broker::service(shop));
    resources
        .network_policies
        .push(network_policy::broker(shop));
    resources.stateful_sets.push(broker::stateful_set(
        shop,
        &decision.broker_image.image,
        &observed.broker,
        &configuration,
    ));
    resources.secrets.push(configuration);
    for service in ServiceName::ALL {
        render_service(
            shop,
            service,
            decision,
            observed,
            credentials,
            &mut resources,
        );
    }
    resources
}

fn render_service(
    shop: &ValidShop,
    service: ServiceName,
    decision: &Decision,
    observed: &Observed,
    credentials: &Credentials,
    resources: &mut Resources<Rendered>,
) {
    let decided = &decision.services[service];
    let database = &observed.services[service].database;
    let prepared = match decided.database_prepared {
        true => Some(incarnation(shop, service, database, credentials)),
        false => database.prepared_for().map(str::to_owned),
    };
    resources
        .service_accounts
        .push(service_account::service_account(shop, service));
    resources.services.push(service::service(shop, service));
    resources.services.push(database::service(shop, service));
    resources
        .network_policies
        .push(network_policy::service(shop, service));
    resources
        .network_policies
        .push(network_policy::database(shop, service));
    resources.stateful_sets.push(database::stateful_set(
        shop,
        service,
        &decided.database_image.image,
        database,
        prepared.as_deref(),
    ));
    if decided.migration.has_job() {
        let claim = database.claim.as_ref();
        let claim = claim.and_then(|claim| claim.uid()).unwrap_or_default();
        resources.jobs.push(migration::job(shop, service, &claim));
    }
    if let Some(runs) = &decided.runs {
        resources.deployments.push(deployment::deployment(
            shop,
            service,
            runs,
            observed,
            credentials,
        ));
    }
    if decided.disruption_budget {
        resources
            .disruption_budgets
            .push(disruption_budget::disruption_budget(shop, service));
    }
    resources
        .autoscalers
        .extend(autoscaler::autoscaler(shop, service));
}
