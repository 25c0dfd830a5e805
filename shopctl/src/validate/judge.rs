//! All that is wrong with a Shop: its fields first, then the rules about them, then what only the operator would refuse.

use std::fmt;

use kube::Resource;
use serde::Serialize;
use serde_json::Value;
use shop_operator::{
    api::Shop,
    cluster::Scope,
    config::{Config, Overrides},
    model::validate::validate,
};

use super::schema;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// The field.
    pub path: String,
    /// What is wrong with it, or what to write.
    pub message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// All that is wrong with a document of kind Shop.
pub fn judge(document: &Value) -> Vec<Wrong> {
    let wrong = |path: &str, message: String| {
        vec![Wrong {
            path: path.into(),
            message,
        }]
    };
    let version = Shop::api_version(&());
    if document["apiVersion"] != *version {
        return wrong("apiVersion", format!("must be {version}"));
    }
    let document = schema::settled(document);
    let mut found = schema::check(&document);
    if document["metadata"]["name"].is_null() {
        found.extend(wrong("metadata.name", "must be there".into()));
    }
    let shop = match serde_json::from_value::<Shop>(document) {
        Ok(shop) => shop,
        // The schema has said what does not fit.
        Err(_) if !found.is_empty() => return found,
        Err(error) => return wrong("", error.to_string()),
    };
    if let Err(broken) = shop.validate_cel() {
        found.extend(broken.into_vec().into_iter().map(|rule| Wrong {
            path: rule.field_path,
            message: rule.message,
        }));
    }
    // It repeats rules of admission, for Shops that were stored before these were made.
    if found.is_empty() {
        let refused = validate(&shop, &assumed()).err().unwrap_or_default();
        found.extend(
            refused
                .into_iter()
                .map(|sentence| match sentence.split_once(": ") {
                    Some((path, message)) => Wrong {
                        path: path.into(),
                        message: message.into(),
                    },
                    None => Wrong {
                        path: String::new(),
                        message: sentence,
                    },
                }),
        );
    }
    found
}

/// An operator as its chart installs it. What it is called and where it is does not decide about a Shop; that it has a registry of its
/// own does, and whether it takes overrides; neither can be known here.
fn assumed() -> Config {
    Config {
        image_registry: Some("registry.example".into()),
        postgres_image: String::new(),
        nats_image: String::new(),
        pod_name: String::new(),
        pod_namespace: String::new(),
        install_name: String::new(),
        watch_namespaces: Scope::Cluster,
        dns_ports: Vec::new(),
        api_server_ports: Vec::new(),
        overrides: Overrides::Allowed,
        admin_addr: ([127, 0, 0, 1], 0).into(),
    }
}
