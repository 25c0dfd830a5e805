//! The reference of a resource's fields as Markdown.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The reference of all fields.
pub(crate) fn markdown(crd: &CustomResourceDefinition) -> String {
    let names = &crd.spec.names;
    let mut page = format!(
        "# The {} resource\n\n\
         Generated from the CRD by `cargo xtask generate`; do not edit.\n\n\
         `apiVersion: {}/{}`, `kind: {}`, namespaced; short name `{}`.\n",
        names.kind,
        crd.spec.group,
        crd.spec
            .versions
            .iter()
            .map(|version| version.name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        names.kind,
        names
            .short_names
            .iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("`, `"),
    );
    let root = crd
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let Some(root) = root else { return page };
    let mut rules = Vec::new();
    collect_rules("", root, &mut rules);
    for part in ["spec", "status"] {
        if let Some(schema) = root
            .properties
            .as_ref()
            .and_then(|properties| properties.get(part))
        {
            // Writing to a String cannot fail.
            let _ = write!(
                page,
                "\n## {part}\n\n| Field | Type | Meaning |\n|---|---|---|\n"
            );
            fields(part, schema, &mut page);
        }
    }
    page.push_str(
        "\n## Rules\n\nWhat the API server refuses, beside wrong types, lengths and patterns:\n\n",
    );
    for (path, message) in rules {
        let _ = writeln!(
            page,
            "* {}{message}.",
            if path.is_empty() {
                String::new()
            } else {
                format!("`{path}`: ")
            }
        );
    }
    page
}

fn fields(path: &str, schema: &JSONSchemaProps, page: &mut String) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let mark = if required.contains(name) {
            " (required)"
        } else {
            ""
        };
        let meaning = field
            .description
            .as_deref()
            .unwrap_or_default()
            .replace('\n', " ")
            .replace('|', "\\|");
        let _ = writeln!(page, "| `{path}`{mark} | {} | {meaning} |", type_of(field));
        match (items(field), values(field)) {
            (Some(item), _) => fields(&format!("{path}[]"), item, page),
            (None, Some(value)) => fields(&format!("{path}.<name>"), value, page),
            (None, None) => fields(&path, field, page),
        }
    }
}

/// What every value of a map with any keys looks like.
fn values(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(value) => Some(value),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    let mut text = match (&schema.enum_, items(schema)) {
        (Some(words), _) => {
            let words = words
                .iter()
                .filter_map(|value| value.0.as_str())
                .map(|word| format!("`{word}`"));
            words.collect::<Vec<_>>().join(", ")
        }
        (None, Some(item)) => format!("list of {}", item.type_.as_deref().unwrap_or("any")),
        (None, None) => schema.type_.clone().unwrap_or_else(|| "any".into()),
    };
    match (schema.minimum, schema.maximum) {
        (Some(min), Some(max)) => text += &format!(", {min} to {max}"),
        (Some(min), None) => text += &format!(", at least {min}"),
        (None, Some(max)) => text += &format!(", at most {max}"),
        (None, None) => {}
    }
    if let Some(max) = schema.max_length {
        text += &format!(", at most {max} characters");
    }
    if let Some(max) = schema.max_items {
        text += &format!(", at most {max}");
    }
    if let Some(default) = schema
        .default
        .as_ref()
        .and_then(|default| default.0.as_str())
    {
        text += &format!(", default `{default}`");
    }
    text
}

fn collect_rules(path: &str, schema: &JSONSchemaProps, rules: &mut Vec<(String, String)>) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        rules.push((
            path.to_owned(),
            rule.message.clone().unwrap_or_else(|| rule.rule.clone()),
        ));
    }
    for (name, field) in schema.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect_rules(&path, field, rules);
        if let Some(item) = items(field) {
            collect_rules(&format!("{path}[]"), item, rules);
        }
        if let Some(value) = values(field) {
            collect_rules(&format!("{path}.<name>"), value, rules);
        }
    }
}
