//! A change of a Shop's specification: it is told, then written over exactly the Shop from which it follows.

mod tool;

use std::fmt::Write;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use shop_operator::api::Shop;

pub use tool::{Tool, tool};

use crate::{
    cli::Writing,
    cluster::Cluster,
    failure::{Failure, asking},
    output::{self, Output, UNDER_WAY, escaped, wrapped},
};

/// Under this name the API server notes which fields this program has set.
const FIELD_MANAGER: &str = "shopctl";

/// What is to be written, and what is worth a word about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Intent {
    /// Field by field.
    pub changes: Vec<Change>,
    /// Each one sentence.
    pub notes: Vec<String>,
}

/// A field that gets another value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The names on the way to it.
    #[serde(rename = "field", serialize_with = "dotted")]
    pub path: Vec<String>,
    /// What it is; null where it is not there.
    pub old: Value,
    /// What it becomes; null where it goes.
    pub new: Value,
}

impl Change {
    /// What makes a field of the Shop so; none where it is so already.
    pub fn of(shop: &Value, path: &[&str], new: Value) -> Option<Self> {
        let mut old = shop;
        for name in path {
            old = old.get(name).unwrap_or(&Value::Null);
        }
        (*old != new).then(|| Self {
            path: path.iter().map(|&name| name.to_owned()).collect(),
            old: old.clone(),
            new,
        })
    }

    /// The field, as documents write it.
    pub fn field(&self) -> String {
        self.path.join(".")
    }
}

fn dotted<S: Serializer>(path: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.join("."))
}

/// The Shop as this program knows it.
///
/// # Errors
/// When it does not.
pub fn read(document: &DynamicObject) -> Result<Shop, Failure> {
    document.clone().try_parse().map_err(|error| {
        Failure::Refused(format!(
            "the Shop cannot be read: {error}; is this program older than the operator?"
        ))
    })
}

/// Says what is to be written, and writes it unless a tool would put it back.
///
/// # Errors
/// When a tool keeps the Shop and nobody insists, or the API server refuses: also where the Shop has changed meanwhile.
pub async fn carry_out(
    cluster: &Cluster,
    shop: &DynamicObject,
    intent: &Intent,
    writing: Writing,
    output: Output,
) -> Result<(), Failure> {
    match output {
        Output::Text => output::print(&text(intent))?,
        Output::Json => output::print_json(intent)?,
    }
    let name = shop.metadata.name.as_deref().unwrap_or_default();
    heed_tool(name, &shop.metadata, writing)?;
    // Strictly: an older resource definition would drop a field without a word.
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default().validation_strict()
    };
    let version = shop.metadata.resource_version.as_deref();
    let patch = Patch::Merge(patch(version, &intent.changes));
    let written = cluster.documents().patch(name, &params, &patch).await;
    written.map_err(|error| refused(name, error))?;
    match output {
        Output::Text => output::print(&format!("Shop {name} is changed\n")),
        Output::Json => Ok(()),
    }
}

/// Warns of a tool that would put the Shop back.
///
/// # Errors
/// When there is one and nobody insists.
pub fn heed_tool(name: &str, metadata: &ObjectMeta, writing: Writing) -> Result<(), Failure> {
    let Some(tool) = tool(metadata) else {
        return Ok(());
    };
    let warning = tool.warning(name);
    if !writing.force {
        return Err(Failure::Refused(format!(
            "nothing is written: {warning}, or insist with --force"
        )));
    }
    output::complain(warning);
    Ok(())
}

/// An answer about a field that the API server does not know holds the whole Shop before it.
fn refused(name: &str, error: kube::Error) -> Failure {
    if let kube::Error::Api(answer) = &error
        && let Some((_, unknown)) = answer.message.rsplit_once("strict decoding error: ")
    {
        return Failure::Refused(format!(
            "Shop {name} cannot be changed: {unknown}: the resource definition in the cluster is older than this program"
        ));
    }
    asking(format!("Shop {name} cannot be changed"))(error)
}

/// A JSON merge patch that the API server takes for this version of the Shop alone.
pub fn patch(version: Option<&str>, changes: &[Change]) -> Value {
    let mut patch = Map::new();
    for change in changes {
        put(
            &mut patch,
            &change.path,
            instead_of(&change.old, &change.new),
        );
    }
    patch.insert("metadata".into(), json!({"resourceVersion": version}));
    Value::Object(patch)
}

fn put(fields: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => drop(fields.insert(last.clone(), value)),
        [first, rest @ ..] => {
            let below = fields.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(below) = below {
                put(below, rest, value);
            }
        }
    }
}

/// What makes a merge patch of one value another: it keeps what it does not name, so what is to go is null.
pub fn instead_of(old: &Value, new: &Value) -> Value {
    let Value::Object(fields) = new else {
        return new.clone();
    };
    let nothing = Map::new();
    let old = old.as_object().unwrap_or(&nothing);
    let gone = old.keys().filter(|name| !fields.contains_key(*name));
    let gone = gone.map(|name| (name.clone(), Value::Null));
    let kept = fields.iter().map(|(name, value)| {
        let before = old.get(name).unwrap_or(&Value::Null);
        (name.clone(), instead_of(before, value))
    });
    gone.chain(kept).collect()
}

/// For people: one line for each field, then what is worth a word.
pub fn text(intent: &Intent) -> String {
    let mut text = String::new();
    for change in &intent.changes {
        let (field, old, new) = (
            escaped(&change.field()),
            said(&change.old),
            said(&change.new),
        );
        let _ = writeln!(text, "{field}: {old} -> {UNDER_WAY}{new}{UNDER_WAY:#}");
    }
    for note in &intent.notes {
        text += &wrapped(note, "  ");
    }
    text
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".into(),
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    }
}
