//! The Shops among the documents of a file.

use kube::Resource;
use serde_json::Value;
use shop_operator::api::Shop;

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub struct Documents {
    /// Shops, of whatever version.
    pub shops: Vec<Value>,
    /// What else there is, by kind and name.
    pub others: Vec<String>,
    /// Why the rest could not be read.
    pub unreadable: Option<String>,
}

/// The documents of a file in YAML, or in JSON, which is YAML too.
pub fn documents(text: &str) -> Documents {
    let mut documents = Documents::default();
    for document in serde_yaml::read::<_, Value>(&mut text.as_bytes()) {
        match document {
            Ok(document) if is_shop(&document) => documents.shops.push(document),
            Ok(document) => documents.others.push(name_of(&document)),
            Err(error) => {
                documents.unreadable = Some(format!("no YAML: {}", error.without_snippet()));
            }
        }
    }
    documents
}

fn is_shop(document: &Value) -> bool {
    let group = document["apiVersion"].as_str().unwrap_or_default();
    let group = group.split('/').next().unwrap_or_default();
    document["kind"] == *Shop::kind(&()) && group == Shop::group(&())
}

fn name_of(document: &Value) -> String {
    let kind = document["kind"]
        .as_str()
        .unwrap_or("a document without kind");
    match document["metadata"]["name"].as_str() {
        Some(name) => format!("{kind} {name}"),
        None => kind.to_owned(),
    }
}
