//! Passwords and keys: made up once, kept in Secrets, never made up again as long as they are there. Database passwords and keys
//! outlive the Shop and have no owner; see `deletion` for what becomes of them.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use rand::{Rng, distr::Alphanumeric};
use secrecy::SecretString;
use serde_json::json;

use crate::{
    cluster::Cluster,
    definition::{KeyShape, built_in},
    error::Error,
    facts::observe::Observed,
    hash::Fingerprint,
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{Component, INSTANCE_LABEL},
        names::{self, ServiceName},
        ports::{BROKER_PORT, DATABASE_PORT},
    },
};

const PASSWORD: &str = "password";
/// Requests at a time; the API server counts them against the operator's share.
const AT_ONCE: usize = 8;

/// All logins and keys of a Shop.
#[derive(Debug)]
pub struct Credentials {
    /// By service.
    pub services: BTreeMap<ServiceName, ServiceCredentials>,
    /// Passwords at the broker of services that the Shop no longer has and whose pods still end.
    pub leaving: BTreeMap<ServiceName, SecretString>,
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

/// A Secret of the Shop.
struct SecretTemplate {
    name: String,
    app: String,
    kind: SecretKind,
    /// What is made up once and kept.
    generated: Vec<(String, KeyShape)>,
    /// What follows from what was made up. It is no secret in itself, so that it may be written again at any time: more of it
    /// in a later version of the operator, or another password that somebody has put in.
    derived: Derive,
}

type Values = BTreeMap<String, String>;

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
pub async fn provide(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
) -> Result<Credentials, Error> {
    let templates = templates(shop);
    let requests: Vec<_> = templates
        .map(|template| create_or_complete(shop, cluster, template))
        .collect();
    let secrets = stream::iter(requests).buffered(AT_ONCE);
    given(shop, cluster, observed, secrets.try_collect().await?)
}

/// The same without a write: where [`provide`] would make something up, something is made up that nobody gets. Returns also the names
/// of the Secrets that it would make.
///
/// # Errors
/// When logins and what is known of their servers do not agree.
pub fn imagine(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
) -> Result<(Credentials, Vec<String>), Error> {
    let mut lacking = Vec::new();
    let mut secrets = BTreeMap::new();
    for template in templates(shop) {
        let live = cluster
            .secrets
            .get(&shop.namespace, &shop.name, &template.name);
        let live = live.unwrap_or_else(|| {
            lacking.push(template.name.clone());
            Arc::new(secret(shop, &template))
        });
        let mut values = texts(&live);
        values.extend(missing_values(&template, &values));
        secrets.insert(template.name, values);
    }
    Ok((given(shop, cluster, observed, secrets)?, lacking))
}

fn templates(shop: &ValidShop) -> impl Iterator<Item = SecretTemplate> {
    let services = shop.services.values();
    services.flat_map(|service| secret_templates(shop, service))
}

/// What these Secrets give.
fn given(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
    secrets: BTreeMap<String, Values>,
) -> Result<Credentials, Error> {
    for service in shop.services.values() {
        agree(shop, service, &secrets)?;
    }
    let value = |secret: &str, key: &str| {
        secrets
            .get(secret)
            .and_then(|data| data.get(key))
            .map(|value| SecretString::from(value.as_str()))
    };
    Ok(Credentials {
        services: shop
            .services
            .values()
            .map(|service| {
                let login = names::broker_login(&shop.name, &service.name);
                let credentials = ServiceCredentials {
                    database: database_login(shop, service, &secrets),
                    // `create_or_complete` has put back what was missing; a host has none.
                    broker_password: value(&login, PASSWORD).unwrap_or_default(),
                };
                (service.name.clone(), credentials)
            })
            .collect(),
        leaving: leaving(shop, cluster, observed),
        contents: secrets
            .iter()
            .map(|(name, data)| (name.clone(), Fingerprint::of(data).hex()))
            .collect(),
    })
}

/// The login of a database names the server that was believed to hold it. It may be newer than what the watches have told.
fn agree(
    shop: &ValidShop,
    service: &ValidService,
    secrets: &BTreeMap<String, Values>,
) -> Result<(), Error> {
    let login = names::database(&shop.name, &service.name);
    let named = secrets.get(&login).and_then(|login| login.get("host"));
    let believed = names::database(&shop.name, shop.server_of(service));
    match named {
        Some(named) if *named != believed => Err(Error::Behind(format!(
            "Secret {login} names the server {named}, and {believed} was expected: it is looked at again"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Their pods may have events left to publish while they end.
fn leaving(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
) -> BTreeMap<ServiceName, SecretString> {
    let running = observed.left.iter();
    let services = running.filter(|(_, component)| *component == Component::Service);
    let password = |service: &ServiceName| {
        let login = names::broker_login(&shop.name, service);
        let secret = cluster.secrets.get(&shop.namespace, &shop.name, &login)?;
        let password = texts(&secret).remove(PASSWORD)?;
        Some((service.clone(), SecretString::from(password)))
    };
    services
        .filter_map(|(service, _)| password(service))
        .collect()
}

fn database_login(
    shop: &ValidShop,
    service: &ValidService,
    secrets: &BTreeMap<String, Values>,
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
        names::database_admin(&shop.name, shop.server_of(service)),
        names::database(&shop.name, &service.name),
    );
    Ok(DatabaseLogin {
        admin_password: value(&admin, "password")?.into(),
        role_password: value(&role, "password")?.into(),
    })
}

fn secret_templates(shop: &ValidShop, service: &ValidService) -> Vec<SecretTemplate> {
    let name = &service.name;
    let template = |secret, kind, generated, derived| SecretTemplate {
        name: secret,
        app: name.to_string(),
        kind,
        generated,
        derived,
    };
    let password = || vec![(PASSWORD.to_owned(), KeyShape::Password)];
    let nothing: fn() -> Derive = || Box::new(|_| BTreeMap::new());
    let mut templates = Vec::new();
    // Whoever hosts others works with their logins and has none of its own.
    if !service.hosts {
        templates.push(template(
            names::broker_login(&shop.name, name),
            SecretKind::BrokerLogin,
            password(),
            broker_values(names::broker(&shop.name), name.clone()),
        ));
    }
    if shop.databases_at(name).next().is_some() {
        let admin = names::database_admin(&shop.name, name);
        templates.push(template(
            admin,
            SecretKind::DatabaseLogin,
            password(),
            nothing(),
        ));
    }
    if service.definition.database.is_some() {
        let role = names::database(&shop.name, name);
        let values = role_values(servers_of(shop, service), name.clone());
        templates.push(template(
            role,
            SecretKind::DatabaseLogin,
            password(),
            values,
        ));
    }
    let keys: Vec<_> = shop
        .keys_of(service)
        .map(|key| (key.name.clone(), key.shape))
        .collect();
    if !keys.is_empty() {
        let secret = names::keys(&shop.name, name);
        templates.push(template(secret, SecretKind::Keys, keys, nothing()));
    }
    templates
}

type Derive = Box<dyn Fn(&Values) -> BTreeMap<&'static str, String> + Send + Sync>;

/// Where the database of a service may lie: first where it is to be made.
fn servers_of(shop: &ValidShop, service: &ValidService) -> Vec<String> {
    let server = names::database(&shop.name, shop.server_of(service));
    let own = names::database(&shop.name, &service.name);
    let host = built_in::host_name().into();
    let at_host = names::database(&shop.name, &host);
    let mut servers = vec![server, own];
    servers.extend(service.is_built_in.then_some(at_host));
    servers
}

/// A login that names one of these servers goes on naming it: where the database is, is told from there, and nothing else may
/// lead to an empty one. Another name is that of another Shop.
fn role_values(servers: Vec<String>, service: ServiceName) -> Derive {
    Box::new(move |values| {
        let named = values.get("host").filter(|host| servers.contains(host));
        let host = named.unwrap_or(&servers[0]); // there is one always
        let url = values.get(PASSWORD).map(|password| {
            let password = escaped(password);
            format!("postgres://{service}:{password}@{host}:{DATABASE_PORT}/{service}")
        });
        BTreeMap::from([
            ("username", service.to_string()),
            ("database", service.to_string()),
            ("port", DATABASE_PORT.to_string()),
            ("host", host.to_owned()),
        ])
        .into_iter()
        .chain(url.map(|url| ("url", url)))
        .collect()
    })
}

fn broker_values(host: String, service: ServiceName) -> Derive {
    Box::new(move |values| {
        let url = values.get(PASSWORD).map(|password| {
            let password = escaped(password);
            format!("nats://{service}:{password}@{host}:{BROKER_PORT}")
        });
        BTreeMap::from([("username", service.to_string())])
            .into_iter()
            .chain(url.map(|url| ("url", url)))
            .collect()
    })
}

/// A password as it stands in a URL (RFC 3986): ours need no escaping, one that somebody has put in may.
fn escaped(password: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| {
        if is_plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    password.bytes().map(escape).collect()
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
) -> Result<(String, Values), Error> {
    let live = cluster
        .secrets
        .create_once(&secret(shop, &template))
        .await?;
    let live = live.object;
    let missing = missing_values(&template, &texts(&live));
    let metadata = metadata_to_change(shop, &template, &live);
    if missing.is_empty() && metadata.is_empty() {
        return Ok((template.name, texts(&live)));
    }
    let mut patch = json!({"metadata": metadata, "stringData": missing});
    // Not over what somebody else has put back meanwhile.
    patch["metadata"]["uid"] = json!(live.metadata.uid);
    patch["metadata"]["resourceVersion"] = json!(live.metadata.resource_version);
    let live = cluster.secrets.merge(&live, &patch).await?.object;
    if !missing.is_empty() {
        tracing::warn!(secret = template.name, keys = ?missing.keys(), "keys were missing or did not fit, and are written anew");
    }
    Ok((template.name, texts(&live)))
}

/// What is to be written into a Secret that holds `data`: made-up values that it lacks and that may be made up anew, and
/// whatever follows from its values and is not so.
fn missing_values(template: &SecretTemplate, data: &Values) -> Values {
    let lacking = template
        .generated
        .iter()
        .filter(|(key, _)| !data.contains_key(key));
    let mut missing: BTreeMap<_, _> = match template.kind {
        SecretKind::DatabaseLogin => BTreeMap::new(),
        SecretKind::BrokerLogin | SecretKind::Keys => lacking
            .map(|(key, shape)| (key.clone(), generate(*shape)))
            .collect(),
    };
    let mut complete = data.clone();
    complete.extend(missing.clone());
    let derived = (template.derived)(&complete).into_iter();
    let derived = derived.map(|(key, value)| (key.to_owned(), value));
    missing.extend(derived.filter(|(key, value)| data.get(key) != Some(value)));
    missing
}

/// What outlives the Shop has no owner and no label by which other tools would take it for theirs.
fn metadata_to_change(
    shop: &ValidShop,
    template: &SecretTemplate,
    live: &Secret,
) -> serde_json::Map<String, serde_json::Value> {
    let mut change = serde_json::Map::new();
    let wanted = secret(shop, template);
    let has = |(label, value): (&String, &String)| live.labels().get(label) == Some(value);
    let odd = !template.kind.goes_with_the_shop() && live.labels().contains_key(INSTANCE_LABEL);
    if odd || !wanted.labels().iter().all(has) {
        let mut labels = json!(wanted.labels());
        if odd {
            labels[INSTANCE_LABEL] = serde_json::Value::Null;
        }
        change.insert("labels".into(), labels);
    }
    let shops = live
        .owner_references()
        .iter()
        .filter(|owner| owner.kind == "Shop");
    let owners: Vec<_> = shops
        .filter(|_| !template.kind.goes_with_the_shop())
        .map(|owner| json!({"$patch": "delete", "uid": owner.uid}))
        .collect();
    if !owners.is_empty() {
        change.insert("ownerReferences".into(), owners.into());
    }
    change
}

impl SecretKind {
    fn goes_with_the_shop(self) -> bool {
        match self {
            Self::DatabaseLogin | Self::Keys => false,
            Self::BrokerLogin => true,
        }
    }
}

/// The Secret as it is made when there is none.
fn secret(shop: &ValidShop, template: &SecretTemplate) -> Secret {
    let component = match template.kind {
        SecretKind::DatabaseLogin => Component::Database,
        SecretKind::BrokerLogin | SecretKind::Keys => Component::Service,
    };
    let metadata = if template.kind.goes_with_the_shop() {
        metadata::object(shop, template.name.clone(), &template.app, component)
    } else {
        metadata::outliving(shop, template.name.clone(), &template.app, component)
    };
    let generated = template.generated.iter();
    let mut values: Values = generated
        .map(|(key, shape)| (key.clone(), generate(*shape)))
        .collect();
    let derived = (template.derived)(&values);
    values.extend(
        derived
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value)),
    );
    let data = values
        .into_iter()
        .map(|(key, value)| (key, ByteString(value.into())));
    Secret {
        metadata,
        type_: Some("Opaque".into()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}

fn texts(secret: &Secret) -> Values {
    let text = |(key, value): (&String, &ByteString)| {
        Some((key.clone(), String::from_utf8(value.0.clone()).ok()?))
    };
    secret.data.iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(kind: SecretKind) -> SecretTemplate {
        SecretTemplate {
            name: "any".into(),
            app: "users".into(),
            kind,
            generated: ["a", "password"]
                .map(|key| (key.into(), KeyShape::Password))
                .into(),
            derived: role_values(vec!["host".into()], "users".into()),
        }
    }

    fn written(kind: SecretKind, data: &[(&str, &str)]) -> Values {
        let data = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        missing_values(&template(kind), &data.collect())
    }

    fn whole() -> Vec<(&'static str, &'static str)> {
        vec![
            ("a", "1"),
            ("password", "p"),
            ("username", "users"),
            ("database", "users"),
            ("port", "5432"),
            ("host", "host"),
            ("url", "postgres://users:p@host:5432/users"),
        ]
    }

    #[test]
    fn a_whole_secret_is_left_alone() {
        for kind in [
            SecretKind::DatabaseLogin,
            SecretKind::BrokerLogin,
            SecretKind::Keys,
        ] {
            assert!(written(kind, &whole()).is_empty());
        }
    }

    /// Nothing else leads to the data: another name would lead to an empty database.
    #[test]
    fn the_server_that_a_login_names_is_not_written_over_unless_it_is_anothers() {
        let servers = ["demo-users-db", "demo-monolith-db"].map(str::to_owned);
        let derive = role_values(servers.to_vec(), "users".into());
        for (named, expected) in [
            (None, "demo-users-db"),
            (Some("demo-users-db"), "demo-users-db"),
            (Some("demo-monolith-db"), "demo-monolith-db"),
            (Some("corner-users-db"), "demo-users-db"),
        ] {
            let password = [(PASSWORD.to_owned(), "x".to_owned())];
            let named = named.map(|host| ("host".to_owned(), host.to_owned()));
            let values: Values = password.into_iter().chain(named).collect();
            let derived = derive(&values);
            assert_eq!(derived["host"], expected);
            assert!(
                derived["url"].contains(&format!("@{expected}:")),
                "{}",
                derived["url"]
            );
        }
    }

    #[test]
    fn a_made_up_value_comes_back_where_a_new_one_is_as_good_and_the_rest_is_not_rewritten() {
        let lacking: Vec<_> = whole().into_iter().filter(|(key, _)| *key != "a").collect();
        for (kind, expected) in [
            (SecretKind::Keys, vec!["a"]),
            (SecretKind::BrokerLogin, vec!["a"]),
            (SecretKind::DatabaseLogin, vec![]),
        ] {
            let keys = written(kind, &lacking).into_keys().collect::<Vec<_>>();
            assert_eq!(keys, expected);
        }
    }

    #[test]
    fn a_key_that_a_later_operator_adds_is_added_and_no_password_changes() {
        let lacking: Vec<_> = whole()
            .into_iter()
            .filter(|(key, _)| *key != "port")
            .collect();
        for kind in [SecretKind::DatabaseLogin, SecretKind::BrokerLogin] {
            assert_eq!(
                written(kind, &lacking),
                BTreeMap::from([("port".to_owned(), "5432".to_owned())])
            );
        }
    }

    #[test]
    fn another_password_is_followed_by_the_url() {
        let mut changed = whole();
        changed[1].1 = "p@ss/w:rd";
        assert_eq!(
            written(SecretKind::DatabaseLogin, &changed),
            BTreeMap::from([(
                "url".to_owned(),
                "postgres://users:p%40ss%2Fw%3Ard@host:5432/users".to_owned()
            )])
        );
    }
}
