//! The settings of the operator that looks after a namespace: without them its objects could not be told.

use std::collections::BTreeMap;

use clap::ValueEnum;
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::{Api, ResourceExt};
use shop_operator::{
    cluster::Scope,
    config::{Config, Overrides},
    run::claims::CLAIM,
};

use crate::{
    cluster::Cluster,
    failure::{Failure, asking},
};

/// The install that has claimed the Shop's namespace, or that is named, as `NAMESPACE/NAME` of its Deployment.
pub(super) async fn install(cluster: &Cluster, named: Option<&str>) -> Result<String, Failure> {
    match named {
        Some(named) => Ok(named.to_owned()),
        None => claimed(cluster).await?.ok_or_else(|| {
            Failure::Absent(format!(
                "no operator has claimed namespace {} yet; name one with --operator NAMESPACE/NAME",
                cluster.namespace()
            ))
        }),
    }
}

/// The Deployment of an install.
pub(super) async fn deployment(cluster: &Cluster, install: &str) -> Result<Deployment, Failure> {
    let (namespace, name) = install.split_once('/').ok_or_else(|| {
        Failure::Refused(format!(
            "{install} names no install of the operator: write NAMESPACE/NAME of its Deployment"
        ))
    })?;
    let asked = asking(format!(
        "Deployment {name} of the operator in namespace {namespace}"
    ));
    let deployments: Api<Deployment> = Api::namespaced(cluster.client().clone(), namespace);
    deployments.get(name).await.map_err(asked)
}

/// The install that has claimed the Shop's namespace.
pub(super) async fn claimed(cluster: &Cluster) -> Result<Option<String>, Failure> {
    let asked = asking(format!("Lease {CLAIM}"));
    let lease = cluster.api::<Lease>().get_opt(CLAIM).await.map_err(asked)?;
    Ok(lease.and_then(|lease| lease.spec?.holder_identity))
}

/// What the Deployment of an operator says in its variables, as the chart writes them.
pub fn config(deployment: &Deployment) -> Result<Config, Failure> {
    let (namespace, name) = (
        deployment.namespace().unwrap_or_default(),
        deployment.name_any(),
    );
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let pod = template.and_then(|template| template.spec.as_ref());
    let containers = pod.into_iter().flat_map(|pod| &pod.containers);
    let variables: BTreeMap<_, _> = containers
        .flat_map(|container| container.env.iter().flatten())
        .filter_map(|variable| Some((variable.name.as_str(), variable.value.as_deref()?)))
        .collect();
    let wrong = |variable: &str| {
        Failure::Refused(format!(
            "Deployment {name} in namespace {namespace} does not say what {variable} is; is it an operator of this version?"
        ))
    };
    let given = |variable: &str| {
        let value = variables.get(variable).copied();
        value.ok_or_else(|| wrong(variable))
    };
    let ports = |variable| {
        let ports = given(variable)?.split(',').map(str::parse);
        let ports: Result<Vec<u16>, _> = ports.collect();
        ports.map_err(|_| wrong(variable))
    };
    Ok(Config {
        image_registry: variables.get("IMAGE_REGISTRY").map(ToString::to_string),
        postgres_image: given("POSTGRES_IMAGE")?.to_owned(),
        nats_image: given("NATS_IMAGE")?.to_owned(),
        dns_ports: ports("DNS_PORTS")?,
        api_server_ports: ports("API_SERVER_PORTS")?,
        overrides: Overrides::from_str(given("OVERRIDES")?, false)
            .map_err(|_| wrong("OVERRIDES"))?,
        pod_namespace: namespace.clone(),
        install_name: name.clone(),
        // These make no difference to a Shop.
        pod_name: name.clone(),
        watch_namespaces: Scope::Cluster,
        admin_addr: ([127, 0, 0, 1], 0).into(),
    })
}
