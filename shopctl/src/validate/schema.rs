//! The schema of the resource definition, as the API server applies it: strictly, so that an unknown field is an error and not lost.

use std::{collections::BTreeSet, sync::LazyLock};

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};
use shop_operator::api::admission;

use super::judge::Wrong;

struct Schema {
    document: Value,
    validator: Validator,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut document = admission::schema();
    // The API server knows these for every kind, and takes a status from nobody but the operator.
    document["properties"]["apiVersion"] = json!({"type": "string"});
    document["properties"]["kind"] = json!({"type": "string"});
    document["properties"]["metadata"] = metadata();
    document["properties"]["status"] = json!({});
    make_strict(&mut document);
    let validator = jsonschema::validator_for(&document).expect("a test reads the schema");
    Schema {
        document,
        validator,
    }
});

fn metadata() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let generator = settings
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    json!(generator.into_root_schema_for::<ObjectMeta>())
}

/// What a structural schema of Kubernetes means, said as JSON Schema.
fn make_strict(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    if schema.contains_key("properties") && !schema.contains_key("additionalProperties") {
        schema.insert("additionalProperties".into(), json!(false));
    }
    if schema.get("nullable") == Some(&json!(true)) {
        if let Some(kind) = schema.get("type").filter(|kind| kind.is_string()) {
            let kinds = json!([kind, "null"]);
            schema.insert("type".into(), kinds);
        }
        if let Some(options) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            options.push(Value::Null);
        }
    }
    for keyword in ["items", "additionalProperties"] {
        schema.get_mut(keyword).into_iter().for_each(make_strict);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flat_map(Map::values_mut)
        .for_each(make_strict);
}

/// The document as the API server takes it up: what is null and must not be counts as left out, or as its default.
pub(super) fn settled(document: &Value) -> Value {
    let mut document = document.clone();
    settle(&mut document, &SCHEMA.document);
    document
}

fn settle(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let schema = of_field(schema, name);
                if !value.is_null() || admits_null(schema) {
                    return true;
                }
                *value = schema["default"].clone();
                !value.is_null()
            });
            for (name, value) in fields {
                settle(value, of_field(schema, name));
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| settle(item, &schema["items"])),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn of_field<'a>(schema: &'a Value, name: &str) -> &'a Value {
    let field = &schema["properties"][name];
    if field.is_null() {
        &schema["additionalProperties"]
    } else {
        field
    }
}

/// Of an unknown field nothing is known.
fn admits_null(schema: &Value) -> bool {
    schema["type"]
        .as_array()
        .is_some_and(|kinds| kinds.contains(&json!("null")))
        || !schema.is_object()
}

/// All that does not fit the schema.
pub(super) fn check(document: &Value) -> Vec<Wrong> {
    let errors = SCHEMA.validator.iter_errors(document);
    let mut wrong: Vec<_> = errors.flat_map(|error| sentences(&error)).collect();
    twice(document, &SCHEMA.document, "", &mut wrong);
    wrong
}

fn sentences(error: &ValidationError<'_>) -> Vec<Wrong> {
    let path = path_of(error.instance_path().as_str());
    let field = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    let one = |message: String| {
        vec![Wrong {
            path: path.clone(),
            message,
        }]
    };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known_fields(error);
            let wrong = unexpected.iter().map(|name| Wrong {
                path: field(name),
                message: unknown(name, &known),
            });
            wrong.collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Wrong {
                path: field(name),
                message: "must be there".into(),
            }]
        }
        ValidationErrorKind::Type { .. } => one(of_type(error)),
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().into_iter().flatten();
            let options: Vec<_> = options.filter_map(Value::as_str).collect();
            one(format!("must be one of {}", options.join(", ")))
        }
        ValidationErrorKind::Minimum { limit } => {
            one(format!("must be at least {}", number(limit)))
        }
        ValidationErrorKind::Maximum { limit } => one(format!("must be at most {}", number(limit))),
        ValidationErrorKind::MinLength { limit } => {
            one(format!("must have at least {limit} characters"))
        }
        ValidationErrorKind::MaxLength { limit } => {
            one(format!("must have at most {limit} characters"))
        }
        ValidationErrorKind::MaxItems { limit } => one(format!("must have at most {limit} items")),
        ValidationErrorKind::MaxProperties { limit } => {
            one(format!("must have at most {limit} entries"))
        }
        ValidationErrorKind::Pattern { pattern } => one(format!("must look like {pattern}")),
        _ => one(error.masked().to_string()),
    }
}

/// A bound is written with a fraction, though it is a whole number.
fn number(limit: &Value) -> String {
    match limit.as_f64() {
        Some(limit) => limit.to_string(),
        None => limit.to_string(),
    }
}

fn of_type(error: &ValidationError<'_>) -> String {
    let kinds = at(error.schema_path().as_str());
    let kind = kinds
        .as_str()
        .or_else(|| kinds[0].as_str())
        .unwrap_or_default();
    match (kind, error.instance().as_ref()) {
        ("string", Value::Number(_) | Value::Bool(_)) => {
            format!("must be a string: write \"{}\" in quotes", error.instance())
        }
        _ => format!("must be of type {kind}"),
    }
}

/// A part of the schema.
fn at(pointer: &str) -> &'static Value {
    SCHEMA.document.pointer(pointer).unwrap_or(&Value::Null)
}

/// The fields that there are where one does not belong.
fn known_fields(error: &ValidationError<'_>) -> Vec<&'static str> {
    let keyword = error.schema_path().as_str();
    let object = keyword.rsplit_once('/').map_or("", |(object, _)| object);
    let fields = at(object)["properties"].as_object();
    fields
        .into_iter()
        .flat_map(|fields| fields.keys())
        .map(String::as_str)
        .collect()
}

fn unknown(name: &str, known: &[&str]) -> String {
    let likeness = |field: &&&str| (strsim::jaro_winkler(field, name) * 1000.0) as u64;
    let near = known
        .iter()
        .filter(|field| likeness(field) > 800)
        .max_by_key(likeness);
    match near {
        Some(field) => format!("there is no such field; did you mean {field}?"),
        None => "there is no such field".into(),
    }
}

/// Lists that the API server merges by a key, or as a set, must not have an entry twice.
fn twice(value: &Value, schema: &Value, path: &str, wrong: &mut Vec<Wrong>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                twice(value, of_field(schema, name), &path, wrong);
            }
        }
        Value::Array(items) => {
            let mut seen = BTreeSet::new();
            for (number, item) in items.iter().enumerate() {
                let path = format!("{path}[{number}]");
                if key_of(item, schema).is_some_and(|key| !seen.insert(key)) {
                    let message = "is there twice".into();
                    wrong.push(Wrong {
                        path: path.clone(),
                        message,
                    });
                }
                twice(item, &schema["items"], &path, wrong);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// By what an entry of a list is told from the others.
fn key_of(item: &Value, schema: &Value) -> Option<String> {
    match schema["x-kubernetes-list-type"].as_str()? {
        "set" => Some(item.to_string()),
        "map" => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array()?.iter();
            let values = keys.filter_map(|key| item.get(key.as_str()?));
            Some(values.map(Value::to_string).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}

/// `/spec/env/0` as `spec.env[0]`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            path += &format!("[{part}]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path += &part;
        }
    }
    path
}
