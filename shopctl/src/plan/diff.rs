//! What differs between an object as it is and as it would be: field by field, without what nobody wrote, and without secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};
use shop_operator::cluster::Edits;

/// Of Secrets nothing is shown but that they change.
const HIDDEN: &str = "(not shown)";
/// Annotations of the operator that say something to people.
const TOLD: [&str; 2] = ["shopkeeper.dev/answered-by", "shopkeeper.dev/hosts"];
/// Fingerprints of what Secrets hold: pods roll when it changes.
const CONTENTS: [&str; 2] = ["shopkeeper.dev/configuration", "shopkeeper.dev/settings"];
/// What the API server writes into metadata by itself.
const WRITTEN: [&str; 7] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

/// An object as it is, and as it would be.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The service whose it is, with its database and migrations.
    pub service: Option<String>,
    /// As it is; none where it is not there.
    pub live: Option<Value>,
    /// As it would be, none where it goes; or why it stays as it is.
    pub then: Result<Option<Value>, String>,
    /// What somebody else has set on it.
    pub edits: Edits,
}

/// What would become of an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Object {
    /// Kind and name.
    pub object: String,
    /// In one word.
    pub action: Action,
    /// The fields that change; none of an object that is new or goes.
    pub fields: Vec<Field>,
    /// Why it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Create,
    /// Some fields change.
    Change,
    /// It goes.
    Delete,
    /// It would be refused.
    Refuse,
}

/// A field that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Where it is; items of lists by their names.
    pub field: String,
    /// What it is; null where it is not there.
    pub old: Value,
    /// What it would be; null where it goes.
    pub new: Value,
}

/// What would become of an object; none where it stays as it is.
pub fn object(side: &Side) -> Option<Object> {
    let refused = side.then.as_ref().err().cloned();
    let (action, fields) = match (&side.live, &side.then) {
        (_, Err(_)) => (Action::Refuse, Vec::new()),
        (_, Ok(None)) => (Action::Delete, Vec::new()),
        (None, Ok(Some(_))) => (Action::Create, Vec::new()),
        (Some(live), Ok(Some(then))) => (Action::Change, fields(&side.kind, live, then)),
    };
    let is_same = action == Action::Change && fields.is_empty();
    (!is_same).then(|| Object {
        object: format!("{} {}", side.kind, side.name),
        action,
        fields,
        refused,
    })
}

fn fields(kind: &str, live: &Value, then: &Value) -> Vec<Field> {
    let (live, then) = (leaves(live), leaves(then));
    let paths: BTreeSet<_> = live.keys().chain(then.keys()).collect();
    let changed = paths
        .into_iter()
        .filter(|path| live.get(*path) != then.get(*path));
    let hides = |path: &str| {
        let is_content = path.starts_with("data") || path.starts_with("stringData");
        let mut fingerprints = CONTENTS.iter();
        let is_fingerprint = fingerprints.any(|mark| path.ends_with(&format!("[{mark}]")));
        (kind == "Secret" && is_content) || is_fingerprint
    };
    let value = |of: &BTreeMap<String, Value>, path: &String| match of.get(path) {
        None => Value::Null,
        Some(_) if hides(path) => HIDDEN.into(),
        Some(value) => value.clone(),
    };
    changed
        .map(|path| Field {
            field: path.clone(),
            old: value(&live, path),
            new: value(&then, path),
        })
        .collect()
}

/// Every field that somebody wrote, by its path.
fn leaves(object: &Value) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    let Value::Object(fields) = object else {
        return leaves;
    };
    for (name, value) in fields {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                let metadata = value.as_object().map(without_ours).unwrap_or_default();
                leaf(&Value::Object(metadata), "metadata", &mut leaves);
            }
            _ => leaf(value, name, &mut leaves),
        }
    }
    leaves
}

fn without_ours(metadata: &Map<String, Value>) -> Map<String, Value> {
    let written = |name: &&String| !WRITTEN.contains(&name.as_str());
    let kept = metadata.iter().filter(|(name, _)| written(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn leaf(value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let is_marks =
                path.ends_with("metadata.labels") || path.ends_with("metadata.annotations");
            for (name, value) in fields {
                if is_marks && is_fingerprint(name) {
                    continue;
                }
                let below = match name.contains(['.', '/']) {
                    true => format!("{path}[{name}]"),
                    false => format!("{path}.{name}"),
                };
                leaf(value, &below, into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                let name = unique_name(items, item).unwrap_or_else(|| number.to_string());
                leaf(item, &format!("{path}[{name}]"), into);
            }
        }
        _ => drop(into.insert(path.to_owned(), value.clone())),
    }
}

/// What the operator and kubectl note for themselves.
fn is_fingerprint(mark: &str) -> bool {
    let is_told = TOLD.contains(&mark) || CONTENTS.contains(&mark);
    let is_operators = mark.starts_with("shopkeeper.dev/") && !is_told;
    is_operators || mark == "kubectl.kubernetes.io/last-applied-configuration"
}

/// The name of an item, where no other of the list has it.
fn unique_name(items: &[Value], item: &Value) -> Option<String> {
    let name = item.get("name")?.as_str()?;
    let same = items
        .iter()
        .filter(|other| other.get("name") == item.get("name"));
    (same.count() == 1).then(|| name.to_owned())
}
