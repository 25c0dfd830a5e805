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
    meta::{self, Component},
    names,
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
    /// At its database, or what its Secrets lack.
    pub database: Result<DatabaseLogin, String>,
    /// Password at the broker.
    pub broker_password: SecretString,
}

/// The passwords of a database.
#[derive(Debug)]
pub struct DatabaseLogin {
    /// Of its administrator.
    pub admin_password: SecretString,
    /// Of the service's own role.
    pub role_password: SecretString,
}

/// A Secret as it is made when there is none.
struct SecretTemplate {
    name: String,
    app: &'static str,
    kind: SecretKind,
    values: BTreeMap<&'static str, String>,
}

/// What a Secret holds, which says how long it lives and how a key that got lost comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretKind {
    /// Lives as long as the volume, which knows the password: a new one would not fit.
    DatabaseLogin,
    /// Lives as long as the Shop. The broker reads it from here as its clients do, so that a new one is as good.
    BrokerLogin,
    /// Live as long as the data that was made with them; each is independent of the others.
    Keys,
}

/// Reads every Secret of the Shop, after making those that are missing.
///
/// # Errors
/// When the API server refuses or does not answer.
pub async fn provide(shop: &ValidShop, cluster: &Cluster) -> Result<Credentials, Error> {
    let templates = ServiceName::ALL
        .into_iter()
        .flat_map(|service| secret_templates(shop, service));
    let secrets =
        try_join_all(templates.map(|template| create_or_complete(shop, cluster, template))).await?;
    let secrets: BTreeMap<String, BTreeMap<String, String>> = secrets.into_iter().collect();
    let value = |secret: &str, key: &str| {
        secrets
            .get(secret)
            .and_then(|data| data.get(key))
            .map(|value| SecretString::from(value.as_str()))
    };
    Ok(Credentials {
        services: PerService::new(|service| ServiceCredentials {
            database: database_login(shop, service, &secrets),
            // `create_or_complete` has put back what was missing.
            broker_password: value(&names::broker_login(&shop.name, service), "password")
                .unwrap_or_default(),
        }),
        contents: secrets
            .iter()
            .map(|(name, data)| (name.clone(), Fingerprint::of(data).hex()))
            .collect(),
    })
}

fn database_login(
    shop: &ValidShop,
    service: ServiceName,
    secrets: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<DatabaseLogin, String> {
    let value = |secret: &str, key: &str| {
        let value = secrets.get(secret).and_then(|data| data.get(key));
        value.cloned().ok_or_else(|| {
            format!(
                "Secret {secret} has no key `{key}`: put it back as it was, for example from a backup; the database was made with it and does not know a new one"
            )
        })
    };
    let (admin, role) = (
        names::database_admin(&shop.name, service),
        names::database(&shop.name, service),
    );
    for key in role_values(shop, service).keys() {
        value(&role, key)?;
    }
    Ok(DatabaseLogin {
        admin_password: value(&admin, "password")?.into(),
        role_password: value(&role, "password")?.into(),
    })
}

fn secret_templates(shop: &ValidShop, service: ServiceName) -> Vec<SecretTemplate> {
    let app = service.as_str();
    let mut templates = vec![
        SecretTemplate {
            name: names::database_admin(&shop.name, service),
            app,
            kind: SecretKind::DatabaseLogin,
            values: BTreeMap::from([("password", password())]),
        },
        SecretTemplate {
            name: names::database(&shop.name, service),
            app,
            kind: SecretKind::DatabaseLogin,
            values: role_values(shop, service),
        },
        SecretTemplate {
            name: names::broker_login(&shop.name, service),
            app,
            kind: SecretKind::BrokerLogin,
            values: broker_values(shop, service),
        },
    ];
    let keys = service.descriptor().keys;
    if !keys.is_empty() {
        templates.push(SecretTemplate {
            name: names::keys(&shop.name, service),
            app,
            kind: SecretKind::Keys,
            values: keys
                .iter()
                .map(|key| (key.name, generate(key.shape)))
                .collect(),
        });
    }
    templates
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

async fn create_or_complete(
    shop: &ValidShop,
    cluster: &Cluster,
    template: SecretTemplate,
) -> Result<(String, BTreeMap<String, String>), Error> {
    let wanted = Arc::new(secret(shop, &template));
    let failed = || Error::kube(format!("Secret {} cannot be made", template.name));
    let mut live = cluster
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
        live = cluster
            .secrets
            .merge(&live, &patch)
            .await
            .map_err(failed())?;
    }
    let data = texts(&live);
    let missing_values = missing_values(&template, &data);
    if missing_values.is_empty() {
        return Ok((template.name, data));
    }
    let patch = json!({
        // Not over what somebody else has put back meanwhile.
        "metadata": {"uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version},
        "stringData": missing_values,
    });
    live = cluster
        .secrets
        .merge(&live, &patch)
        .await
        .map_err(failed())?;
    tracing::warn!(secret = template.name, keys = ?missing_values.keys(), "keys were missing and are made anew");
    Ok((template.name, texts(&live)))
}

/// What is to be written into a Secret that lacks keys.
fn missing_values<'a>(
    template: &'a SecretTemplate,
    data: &BTreeMap<String, String>,
) -> BTreeMap<&'static str, &'a str> {
    let is_missing = |key: &str| !data.contains_key(key);
    let values = template.values.iter();
    let values = values.map(|(key, value)| (*key, value.as_str()));
    match template.kind {
        SecretKind::DatabaseLogin => BTreeMap::new(),
        // Password and URL belong together.
        SecretKind::BrokerLogin if template.values.keys().copied().any(is_missing) => {
            values.collect()
        }
        SecretKind::BrokerLogin => BTreeMap::new(),
        SecretKind::Keys => values.filter(|(key, _)| is_missing(key)).collect(),
    }
}

fn secret(shop: &ValidShop, template: &SecretTemplate) -> Secret {
    let (component, outlives_the_shop) = match template.kind {
        SecretKind::DatabaseLogin => (Component::Database, true),
        SecretKind::BrokerLogin => (Component::Service, false),
        SecretKind::Keys => (Component::Service, true),
    };
    let mut metadata = meta::object(shop, template.name.clone(), template.app, component);
    if outlives_the_shop && shop.deletion_policy == DeletionPolicy::Retain {
        metadata.owner_references = None;
    }
    let data = template
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_secret_lacks_comes_back_where_a_new_value_is_as_good_and_the_rest_is_not_rewritten() {
        let with_half = |kind| {
            let template = SecretTemplate {
                name: "any".into(),
                app: "users",
                kind,
                values: BTreeMap::from([("a", "new".into()), ("b", "new".into())]),
            };
            let data = BTreeMap::from([("a".to_owned(), "old".to_owned())]);
            let keys = missing_values(&template, &data);
            keys.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(with_half(SecretKind::Keys), ["b"]);
        assert_eq!(with_half(SecretKind::BrokerLogin), ["a", "b"]);
        assert!(with_half(SecretKind::DatabaseLogin).is_empty());
    }
}
