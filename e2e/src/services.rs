//! The services that come with the operator, from their documents (`services/<name>/service.yaml`): what the figures and tests need of
//! them.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// A service.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    pub name: String,
    #[serde(default)]
    pub calls: Vec<Call>,
    /// A Shop has it that names it.
    #[serde(default)]
    pub optional: bool,
    /// The kinds of its events.
    #[serde(default)]
    pub publishes: Vec<String>,
    #[serde(default)]
    pub subscribes: Vec<String>,
    #[serde(default)]
    pub keys: Vec<Key>,
    #[serde(default)]
    pub settings: Vec<Setting>,
    #[serde(default)]
    pub scratch: Vec<Scratch>,
    /// It is no service of the shop: it hosts the others.
    #[serde(default)]
    hosts: bool,
}

#[derive(Deserialize)]
pub struct Call {
    pub service: String,
    pub url: String,
    pub token: Option<Token>,
}

#[derive(Deserialize)]
pub struct Token {
    pub variable: String,
}

#[derive(Deserialize)]
pub struct Key {
    pub name: String,
    pub shape: Shape,
}

#[derive(Deserialize)]
pub enum Shape {
    Seed,
    Password,
}

#[derive(Deserialize)]
pub struct Setting {
    pub name: String,
    pub value: String,
}

#[derive(Deserialize)]
pub struct Scratch {
    pub variable: String,
}

/// All of them, by name.
pub fn all() -> Result<Vec<Service>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../services"));
    let mut services: Vec<Service> = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?
    {
        let document = entry?.path().join("service.yaml");
        if !document.exists() {
            continue;
        }
        let wrong = || format!("{} is not a service's document", document.display());
        let text = fs::read_to_string(&document).with_context(wrong)?;
        services.push(serde_yaml::from_str(&text).with_context(wrong)?);
    }
    services.retain(|service| !service.hosts);
    services.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(services)
}
