//! What there is of a Shop in the cluster: a snapshot from the stores, and the few Secrets of the user that it names.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Pod, Secret},
};
use kube::ResourceExt;

use crate::{
    catalogue::{PerService, ServiceName},
    cluster::Cluster,
    error::{Class, Error},
    hash::Fingerprint,
    labels::{COMPONENT_LABEL, NAME_LABEL},
    meta::Component,
    names,
    validate::ValidShop,
};

/// What there is of a Shop in the cluster.
#[derive(Debug, Default)]
pub struct Observed {
    /// By service.
    pub services: PerService<ObservedService>,
    /// The broker.
    pub broker: ObservedBackend,
    /// The Secrets of the user that the Shop names.
    pub user_secrets: Vec<UserSecret>,
}

/// What there is of one service.
#[derive(Debug, Default)]
pub struct ObservedService {
    /// Its Deployment.
    pub deployment: Option<Arc<Deployment>>,
    /// Its pods, whatever their age, by name.
    pub pods: Vec<Arc<Pod>>,
    /// The migration of the image that is to run.
    pub migration: Option<Arc<Job>>,
    /// The pods of that Job.
    pub migration_pods: Vec<Arc<Pod>>,
    /// Its database.
    pub database: ObservedBackend,
}

/// What there is of a database or the broker.
#[derive(Debug, Default)]
pub struct ObservedBackend {
    /// Its StatefulSet.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Its pods: one, or two while one is being replaced.
    pub pods: Vec<Arc<Pod>>,
    /// Its volume's claim.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
}

/// A Secret that the user made and the Shop names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSecret {
    /// Its name.
    pub name: String,
    /// The field that names it.
    pub field: &'static str,
    /// What was found under this name.
    pub found: Found,
}

/// What was found under the name of a Secret of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All keys that it must have, with this fingerprint of its content.
    Usable(String),
    /// A Secret that lacks this key.
    Incomplete(&'static str),
    /// No Secret.
    Nothing,
    /// The API server refuses to show it; the text says why.
    Refused(String),
}

impl UserSecret {
    /// A fingerprint of its content, where there is all that it must have.
    pub fn content(&self) -> Option<&str> {
        match &self.found {
            Found::Usable(content) => Some(content),
            Found::Incomplete(_) | Found::Nothing | Found::Refused(_) => None,
        }
    }
}

/// Takes the snapshot.
///
/// # Errors
/// When the API server does not answer (that it refuses a Secret of the user, or knows of none, is no error).
pub async fn observe(shop: &ValidShop, cluster: &Cluster) -> Result<Observed, Error> {
    let pods = cluster.pods.of_shop(&shop.namespace, &shop.name);
    let of = |app: &str, component: Component| -> Vec<Arc<Pod>> {
        let labels = |pod: &&Arc<Pod>| {
            pod.labels().get(NAME_LABEL).map(String::as_str) == Some(app)
                && pod.labels().get(COMPONENT_LABEL).map(String::as_str) == Some(component.as_str())
        };
        pods.iter().filter(labels).cloned().collect()
    };
    let backend = |name: String, pods: Vec<Arc<Pod>>| ObservedBackend {
        claim: cluster.claims.get(&shop.namespace, &names::claim(&name)),
        stateful_set: cluster.stateful_sets.get(&shop.namespace, &name),
        pods,
    };
    let service = |service: ServiceName| {
        let image = &shop.services[service].image;
        let migration = cluster.jobs.get(
            &shop.namespace,
            &names::migration(&shop.name, service, image),
        );
        let uid = migration.as_ref().and_then(|job| job.uid());
        let is_of_job = |pod: &Arc<Pod>| {
            uid.is_some()
                && pod
                    .owner_references()
                    .iter()
                    .any(|o| Some(&o.uid) == uid.as_ref())
        };
        ObservedService {
            deployment: cluster
                .deployments
                .get(&shop.namespace, &names::service(&shop.name, service)),
            pods: of(service.as_str(), Component::Service),
            migration_pods: of(service.as_str(), Component::Migration)
                .into_iter()
                .filter(is_of_job)
                .collect(),
            migration,
            database: backend(
                names::database(&shop.name, service),
                of(service.as_str(), Component::Database),
            ),
        }
    };
    Ok(Observed {
        services: PerService::new(service),
        broker: backend(names::broker(&shop.name), of("nats", Component::Broker)),
        user_secrets: user_secrets(shop, cluster).await?,
    })
}

async fn user_secrets(shop: &ValidShop, cluster: &Cluster) -> Result<Vec<UserSecret>, Error> {
    let mut named: Vec<(&str, &'static str, &'static [&'static str])> = Vec::new();
    if let Some(login) = shop
        .email
        .as_ref()
        .and_then(|e| e.smtp.as_ref())
        .and_then(|s| s.credentials_from.as_ref())
    {
        named.push((
            &login.name,
            "spec.email.smtp.credentialsFrom",
            &["username", "password"],
        ));
    }
    named.extend(
        shop.pull_secrets
            .iter()
            .map(|name| (name.as_str(), "spec.images.pullSecrets", &[][..])),
    );

    let mut secrets = Vec::new();
    for (name, field, keys) in named {
        let answer = cluster
            .secrets
            .api(&shop.namespace)
            .get_opt(name)
            .await
            .map_err(Error::kube(format!(
                "Secret {name}, named by {field}, cannot be read"
            )));
        let found = match answer {
            Ok(Some(secret)) => usable(&secret, keys),
            Ok(None) => Found::Nothing,
            Err(error) if error.class() == Class::Transient => return Err(error),
            Err(error) => Found::Refused(error.to_string()),
        };
        secrets.push(UserSecret {
            name: name.to_owned(),
            field,
            found,
        });
    }
    Ok(secrets)
}

fn usable(secret: &Secret, keys: &'static [&'static str]) -> Found {
    let has = |key: &str| {
        secret
            .data
            .as_ref()
            .is_some_and(|data| data.contains_key(key))
    };
    match keys.iter().find(|key| !has(key)) {
        Some(missing) => Found::Incomplete(missing),
        None => Found::Usable(Fingerprint::of(&secret.data).hex()),
    }
}
