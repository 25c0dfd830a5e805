//! Passwords and keys: generated once, kept in Secrets, never written again. What outlives the Shop (database passwords and
//! keys under `deletionPolicy: Retain`) has no owner.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::try_join_all;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use rand::{Rng, distr::Alphanumeric};
use secrecy::SecretString;
use serde_json::json;

use crate::{
    api::DeletionPolicy,
    catalogue::{BROKER_PORT, DATABASE_PORT, KeyShape, PerService, ServiceName},
    cluster::Cluster,
    error::Error,
    hash::Fingerprint,
    names,
    render::meta::{self, Component},
    validate::ValidShop,
};

/// All logins and keys of a Shop.
#[derive(Debug)]
pub struct Credentials {
    /// By service.
    pub services: PerService<ServiceCredentials>,
    /// A fingerprint of the content of every Secret that pods read, by name: pods roll when it changes.
    pub contents: BTreeMap<String, String>,
}

/// The logins of one service.
#[derive(Debug)]
pub struct ServiceCredentials {
    /// Password of its database's administrator.
    pub admin_password: SecretString,
    /// Password of its own role.
    pub role_password: SecretString,
    /// Password at the broker.
    pub broker_password: SecretString,
}

/// A Secret as it is made when there is none.
struct Kept {
    name: String,
    app: &'static str,
    component: Component,
    /// It outlives the Shop where the Shop's policy says so.
    data_of_the_shop: bool,
    values: BTreeMap<&'static str, String>,
}

/// Reads every Secret of the Shop, after making those that are missing.
///
/// # Errors
/// When the API server refuses, or a Secret lacks a key.
pub async fn provide(shop: &ValidShop, cluster: &Cluster) -> Result<Credentials, Error> {
    let kept = ServiceName::ALL
        .into_iter()
        .flat_map(|service| kept_secrets(shop, service));
    let secrets = try_join_all(kept.map(|kept| keep(shop, cluster, kept))).await?;
    let secrets: BTreeMap<String, BTreeMap<String, String>> = secrets.into_iter().collect();
    let value = |secret: String, key: &str| {
        // `keep` has checked that every key is there.
        SecretString::from(
            secrets
                .get(&secret)
                .and_then(|data| data.get(key))
                .cloned()
                .unwrap_or_default(),
        )
    };
    Ok(Credentials {
        services: PerService::new(|service| ServiceCredentials {
            admin_password: value(names::database_admin(&shop.name, service), "password"),
            role_password: value(names::database(&shop.name, service), "password"),
            broker_password: value(names::broker_login(&shop.name, service), "password"),
        }),
        contents: secrets
            .iter()
            .map(|(name, data)| (name.clone(), Fingerprint::of(data).hex()))
            .collect(),
    })
}

fn kept_secrets(shop: &ValidShop, service: ServiceName) -> Vec<Kept> {
    let app = service.as_str();
    let mut kept = vec![
        Kept {
            name: names::database_admin(&shop.name, service),
            app,
            component: Component::Database,
            data_of_the_shop: true,
            values: BTreeMap::from([("password", password())]),
        },
        Kept {
            name: names::database(&shop.name, service),
            app,
            component: Component::Database,
            data_of_the_shop: true,
            values: role_values(shop, service),
        },
        Kept {
            name: names::broker_login(&shop.name, service),
            app,
            component: Component::Service,
            data_of_the_shop: false,
            values: broker_values(shop, service),
        },
    ];
    let keys = service.descriptor().keys;
    if !keys.is_empty() {
        kept.push(Kept {
            name: names::keys(&shop.name, service),
            app,
            component: Component::Service,
            data_of_the_shop: true,
            values: keys
                .iter()
                .map(|key| (key.name, generate(key.shape)))
                .collect(),
        });
    }
    kept
}

fn role_values(shop: &ValidShop, service: ServiceName) -> BTreeMap<&'static str, String> {
    let (password, host) = (password(), names::database(&shop.name, service));
    BTreeMap::from([
        ("username", service.to_string()),
        ("database", service.to_string()),
        ("port", DATABASE_PORT.to_string()),
        (
            "url",
            format!("postgres://{service}:{password}@{host}:{DATABASE_PORT}/{service}"),
        ),
        ("password", password),
        ("host", host),
    ])
}

fn broker_values(shop: &ValidShop, service: ServiceName) -> BTreeMap<&'static str, String> {
    let (password, host) = (password(), names::broker(&shop.name));
    BTreeMap::from([
        ("username", service.to_string()),
        (
            "url",
            format!("nats://{service}:{password}@{host}:{BROKER_PORT}"),
        ),
        ("password", password),
    ])
}

fn generate(shape: KeyShape) -> String {
    match shape {
        KeyShape::Seed => rand::rng()
            .random::<[u8; 32]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        KeyShape::Password => password(),
    }
}

/// 32 letters and digits: nothing that needs escaping in a URL or a configuration file.
fn password() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(32)
        .map(char::from)
        .collect()
}

async fn keep(
    shop: &ValidShop,
    cluster: &Cluster,
    kept: Kept,
) -> Result<(String, BTreeMap<String, String>), Error> {
    let wanted = Arc::new(secret(shop, &kept));
    let failed = || Error::kube(format!("Secret {} cannot be made", kept.name));
    let live = cluster
        .secrets
        .create_once(wanted.clone())
        .await
        .map_err(failed())?;
    if !has_metadata_of(&live, &wanted) {
        let patch = json!({"metadata": {
            "uid": live.metadata.uid,
            "labels": wanted.metadata.labels,
            "ownerReferences": wanted.metadata.owner_references,
        }});
        cluster
            .secrets
            .merge(&live, &patch)
            .await
            .map_err(failed())?;
    }
    let data = texts(&live);
    match kept.values.keys().find(|key| !data.contains_key(**key)) {
        Some(missing) => Err(Error::Invalid(format!(
            "Secret {} has no key `{missing}`: restore it, or delete the Secret to have a new one made",
            kept.name
        ))),
        None => Ok((kept.name, data)),
    }
}

fn secret(shop: &ValidShop, kept: &Kept) -> Secret {
    let mut metadata = meta::object(shop, kept.name.clone(), kept.app, kept.component);
    if kept.data_of_the_shop && shop.deletion_policy == DeletionPolicy::Retain {
        metadata.owner_references = None;
    }
    let data = kept
        .values
        .iter()
        .map(|(key, value)| ((*key).into(), ByteString(value.clone().into())));
    Secret {
        metadata,
        type_: Some("Opaque".into()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}

fn has_metadata_of(live: &Secret, wanted: &Secret) -> bool {
    live.owner_references() == wanted.owner_references()
        && wanted
            .labels()
            .iter()
            .all(|(key, value)| live.labels().get(key) == Some(value))
}

fn texts(secret: &Secret) -> BTreeMap<String, String> {
    let text = |(key, value): (&String, &ByteString)| {
        Some((key.clone(), String::from_utf8(value.0.clone()).ok()?))
    };
    secret.data.iter().flatten().filter_map(text).collect()
}
