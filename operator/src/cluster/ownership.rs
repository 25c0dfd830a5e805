//! Who owns which field of an object, as the API server notes it in `managedFields` (server-side apply, KEP-555).
//!
//! What an apply would change can be told from the object alone: the fields that are noted as ours, with the values they
//! have, are either what we would apply now or they are not. No copy of what was applied is needed, so that a restarted
//! operator knows as much as one that ran all the time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value, json};

use crate::{hash::Fingerprint, naming::labels::DRIFT_LABEL, quantity};

/// More fields of others than this are not kept of one object. A template that somebody has set as a whole has fewer: what was added to it
/// must not be cut off behind what stays of it.
const KEPT: usize = 200;
/// Who has set a field, where the API server does not say.
pub(super) const SOMEBODY: &str = "somebody";

/// A fingerprint of the fields of `live` (as JSON, with its managedFields) that `manager` has applied. Where what others change stays, of
/// what they have set too: one that is given back is seen by its value.
pub(super) fn digest_of_live(live: &Value, manager: &str) -> Fingerprint {
    let owned = applied_fields(live, manager).map(|fields| project(live, fields));
    let owned = canonical(owned.unwrap_or_default());
    let reports = live["metadata"]["labels"].get(DRIFT_LABEL).is_some();
    let theirs = foreign_specs(live, manager).filter(|_| reports);
    let theirs: Vec<_> = theirs
        .map(|(_, fields)| canonical(project(&live["spec"], &fields)))
        .collect();
    match theirs.is_empty() {
        true => Fingerprint::of(&owned),
        false => Fingerprint::of(&(owned, theirs)),
    }
}

/// The fingerprint that [`digest_of_live`] has after `desired` was applied and nobody changed anything.
pub(super) fn digest_of_desired(desired: &Value) -> Fingerprint {
    Fingerprint::of(&canonical(desired.clone()))
}

/// The same as [`digest_of_live`] for the template of pods alone: only a change of that restarts them.
pub(super) fn template_of_live(live: &Value, manager: &str) -> Fingerprint {
    let owned = applied_fields(live, manager).map(|fields| project(live, fields));
    Fingerprint::of(&canonical(owned.unwrap_or_default()).pointer("/spec/template"))
}

/// The same as [`digest_of_desired`] for the template of pods alone.
pub(super) fn template_of_desired(desired: &Value) -> Fingerprint {
    Fingerprint::of(&canonical(desired.clone()).pointer("/spec/template"))
}

/// Fields of the specification that others set and `manager` does not: `<who>: <path>`. What others own by the design of
/// Kubernetes (counts, the annotation of a restart) is left out.
pub(super) fn foreign_fields(live: &Value, manager: &str) -> Vec<String> {
    let ours = applied_fields(live, manager).and_then(|fields| fields.get("f:spec"));
    let mut named = Vec::new();
    for (who, foreign) in foreign_specs(live, manager) {
        name_leaves(&foreign, ours, "spec", &mut |path| {
            named.push(format!("{who}: {path}"));
        });
    }
    named.sort();
    named.dedup();
    named.truncate(KEPT);
    named
}

/// What others have set in the specification, with who did.
fn foreign_specs<'a>(
    live: &'a Value,
    manager: &'a str,
) -> impl Iterator<Item = (&'a str, Map<String, Value>)> {
    others(live, manager).filter_map(|(who, fields)| {
        let spec = fields.get("f:spec")?.as_object()?;
        let (foreign, _) = divide(spec.clone());
        (!foreign.is_empty()).then_some((who, foreign))
    })
}

/// The entries of `managedFields` after `manager` has taken over from others the fields of the specification that stand beside one
/// of `refused` (paths as the API server names what it refuses), and which these are, each as `<who>: <path>`. The next apply then removes what it does not name:
/// a field of somebody else cannot be taken away otherwise, and where it excludes one of ours the API server refuses every apply.
/// None where there is nothing to take over.
pub(super) fn take_over(
    entries: &[ManagedFieldsEntry],
    manager: &str,
    refused: &[String],
) -> Option<(Vec<ManagedFieldsEntry>, Vec<String>)> {
    let mut taken = Map::new();
    let mut from = Vec::new();
    let mut entries = entries.to_vec();
    let ours = entries.iter().find(|entry| is_applied_by(entry, manager))?;
    let ours = ours.fields_v1.as_ref();
    let ours = ours.and_then(|fields| fields.0.get("f:spec").cloned());
    for entry in &mut entries {
        if is_applied_by(entry, manager) || entry.subresource.is_some() {
            continue;
        }
        let Some(Value::Object(fields)) = entry.fields_v1.as_mut().map(|fields| &mut fields.0)
        else {
            continue;
        };
        if let Some(Value::Object(spec)) = fields.remove("f:spec") {
            let (mut rest, mut leave) = divide(spec);
            let mut found = Map::new();
            for path in refused {
                let names = beside(path);
                let (take, keep) = split(rest, &names);
                rest = keep;
                merge(&mut found, take);
            }
            merge(&mut leave, rest);
            if !leave.is_empty() {
                fields.insert("f:spec".into(), leave.into());
            }
            if !found.is_empty() {
                let who = entry.manager.as_deref().unwrap_or(SOMEBODY);
                name_leaves(&found, ours.as_ref(), "spec", &mut |path| {
                    from.push(format!("{who}: {path}"));
                });
                merge(&mut taken, found);
            }
        }
    }
    let ours = entries
        .iter_mut()
        .find(|entry| is_applied_by(entry, manager))?;
    if from.is_empty() {
        return None;
    }
    if let Some(Value::Object(fields)) = ours.fields_v1.as_mut().map(|fields| &mut fields.0) {
        merge(fields, Map::from_iter([("f:spec".into(), taken.into())]));
    }
    entries.retain(|entry| {
        let fields = entry
            .fields_v1
            .as_ref()
            .and_then(|fields| fields.0.as_object());
        fields.is_none_or(|fields| !fields.is_empty())
    });
    from.sort();
    from.dedup();
    Some((entries, from))
}

/// The names on the way to what holds a refused field: `template`, `spec`, `containers`, `env` for
/// `spec.template.spec.containers[0].env[1].valueFrom`.
fn beside(path: &str) -> Vec<&str> {
    let names = path
        .split('.')
        .map(|part| part.split('[').next().unwrap_or(part));
    let mut names: Vec<_> = names.skip(1).collect();
    names.pop();
    names
}

/// What lies under these names, and the rest. Items of lists have no names of their own.
fn split(fields: Map<String, Value>, names: &[&str]) -> (Map<String, Value>, Map<String, Value>) {
    let Some((name, below)) = names.split_first() else {
        return (fields, Map::new());
    };
    let (mut take, mut leave) = (Map::new(), Map::new());
    for (key, value) in fields {
        let next = match key.strip_prefix("f:") {
            Some(field) if field == *name => Some(below),
            Some(_) => None,
            None if key == "." => None,
            None => Some(names),
        };
        match (next, value) {
            (Some(next), Value::Object(value)) => {
                let (inside, outside) = split(value, next);
                if !inside.is_empty() {
                    take.insert(key.clone(), inside.into());
                }
                if !outside.is_empty() {
                    leave.insert(key, outside.into());
                }
            }
            (_, value) => {
                leave.insert(key, value);
            }
        }
    }
    (take, leave)
}

/// Whether an entry is of what `manager` has applied.
pub(super) fn is_applied_by(entry: &ManagedFieldsEntry, manager: &str) -> bool {
    entry.manager.as_deref() == Some(manager)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.is_none()
}

fn entries(live: &Value) -> impl Iterator<Item = &Value> {
    let entries = live.pointer("/metadata/managedFields");
    entries.and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn applied_fields<'a>(live: &'a Value, manager: &str) -> Option<&'a Map<String, Value>> {
    let ours = entries(live).find(|entry| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry.get("subresource").is_none()
    });
    ours?["fieldsV1"].as_object()
}

fn others<'a>(
    live: &'a Value,
    manager: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Map<String, Value>)> {
    entries(live)
        .filter(move |entry| entry["manager"] != manager && entry.get("subresource").is_none())
        .filter_map(|entry| {
            let who = entry["manager"].as_str().unwrap_or(SOMEBODY);
            Some((who, entry["fieldsV1"].as_object()?))
        })
}

/// Fields of a specification that nobody else needs, and those that others own by the design of Kubernetes: the count
/// (`kubectl scale`, autoscalers) and the pods' annotations and labels (`kubectl rollout restart`).
fn divide(mut spec: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let mut theirs = Map::new();
    theirs.extend(
        spec.remove("f:replicas")
            .map(|count| ("f:replicas".into(), count)),
    );
    if let Some(Value::Object(template)) = spec.get_mut("f:template") {
        if let Some(metadata) = template.remove("f:metadata") {
            theirs.insert("f:template".into(), json!({"f:metadata": metadata}));
        }
        if template.is_empty() {
            spec.remove("f:template");
        }
    }
    (spec, theirs)
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(more)) => merge(there, more),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// The parts of `value` that a field set of `managedFields` names.
fn project(value: &Value, fields: &Map<String, Value>) -> Value {
    let children = || fields.iter().filter(|(key, _)| *key != ".");
    if children().next().is_none() {
        return value.clone();
    }
    let below = |value: &Value, fields: &Value| match fields.as_object() {
        Some(fields) => project(value, fields),
        None => value.clone(),
    };
    match value {
        Value::Object(object) => children()
            .filter_map(|(key, fields)| {
                let name = key.strip_prefix("f:")?;
                Some((name.to_owned(), below(object.get(name)?, fields)))
            })
            .collect(),
        // In the order of the object: it is the one in which the items were applied.
        Value::Array(items) => items
            .iter()
            .filter_map(|item| {
                let (_, fields) = children().find(|(key, _)| selects(key, item))?;
                Some(below(item, fields))
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether a key of a field set (`k:{"name":"a"}`, `v:"a"`) names this item of a list.
fn selects(key: &str, item: &Value) -> bool {
    let parsed = |text| serde_json::from_str::<Value>(text).ok();
    if let Some(Value::Object(keys)) = key.strip_prefix("k:").and_then(parsed) {
        return keys
            .iter()
            .all(|(name, value)| item.get(name) == Some(value));
    }
    key.strip_prefix("v:").and_then(parsed).as_ref() == Some(item)
}

/// As the API server writes it back: without what it does not store, amounts in their shortest form.
fn canonical(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("name");
            metadata.remove("namespace");
        }
        // It cannot be changed once it is there, and comes back with defaults in it.
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("volumeClaimTemplates");
        }
    }
    tidy(&mut object);
    object
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for name in ["requests", "limits", "overhead", "target"] {
                for amount in object
                    .get_mut(name)
                    .and_then(Value::as_object_mut)
                    .into_iter()
                    .flat_map(Map::values_mut)
                {
                    if let Some(text) = amount.as_str() {
                        *amount = quantity::canonical(text).into();
                    }
                }
            }
            for name in ["sizeLimit", "divisor", "tolerance"] {
                if let Some(amount) = object.get_mut(name)
                    && let Some(text) = amount.as_str()
                {
                    *amount = quantity::canonical(text).into();
                }
            }
            object.values_mut().for_each(tidy);
            object.retain(|_, value| {
                !value.is_null()
                    && value.as_array().is_none_or(|items| !items.is_empty())
                    && value != ""
            });
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Names what `fields` has and `ours` has not; an item of a list as a whole.
fn name_leaves(
    fields: &Map<String, Value>,
    ours: Option<&Value>,
    path: &str,
    name: &mut impl FnMut(String),
) {
    for (key, below) in fields.iter().filter(|(key, _)| *key != ".") {
        let same = ours.and_then(|ours| ours.get(key));
        let path = match key.split_once(':') {
            Some(("f", field)) => format!("{path}.{field}"),
            Some(("k", keys)) => {
                let keys = serde_json::from_str(keys).unwrap_or_default();
                format!("{path}[{}]", key_values(&keys))
            }
            _ => format!("{path}[{key}]"),
        };
        let is_item = !key.starts_with("f:");
        match below.as_object() {
            Some(below) if !below.is_empty() && (same.is_some() || !is_item) => {
                name_leaves(below, same, &path, name);
            }
            _ if same.is_none() => name(path),
            _ => {}
        }
    }
}

/// The values of the keys of an item, which name it.
pub(super) fn key_values(keys: &Map<String, Value>) -> String {
    let values = keys.values().map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    values.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_the_same_in_every_form_wherever_they_stand() {
        let of = |bytes: &str, cpu: &str| {
            canonical(json!({"spec": {
                "resources": {"requests": {"memory": bytes, "cpu": cpu}}, "overhead": {"cpu": cpu},
                "emptyDir": {"sizeLimit": bytes}, "resourceFieldRef": {"divisor": cpu},
                "target": {"type": "AverageValue", "averageValue": cpu},
                "behavior": {"scaleUp": {"tolerance": cpu}},
            }}))
        };
        assert_eq!(of("1024Mi", "0.5"), of("1Gi", "500m"));
        assert_ne!(of("1025Mi", "0.5"), of("1Gi", "500m"));
    }

    const US: &str = "us";

    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "namespace": "n", "labels": {"x": "1"}},
            "spec": {"template": {"spec": {"containers": [{
                "name": "c", "image": "i:1", "args": ["serve"],
                "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}},
                "env": [{"name": "B", "value": "2"}, {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            }]}}},
        })
    }

    fn our_fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:x": {}}},
            "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:resources": {"f:requests": {"f:cpu": {}, "f:memory": {}}},
                "f:env": {
                    "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:valueFrom": {"f:secretKeyRef": {}}},
                    "k:{\"name\":\"B\"}": {".": {}, "f:name": {}, "f:value": {}},
                },
            }}}}},
        })
    }

    /// What the API server keeps after `desired` was applied.
    fn live() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"x": "1", "theirs": "2"},
                "managedFields": [
                    {"manager": US, "operation": "Apply", "fieldsV1": our_fields()},
                    {"manager": "scaler", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                ],
            },
            "spec": {"replicas": 3, "template": {"spec": {"dnsPolicy": "ClusterFirst", "containers": [{
                "name": "c", "image": "i:1", "args": ["serve"], "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                "env": [{"name": "B", "value": "2"}, {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            }]}}},
            "status": {"replicas": 3},
        })
    }

    fn container(live: &mut Value) -> &mut Value {
        live.pointer_mut("/spec/template/spec/containers/0")
            .expect("a container")
    }

    #[test]
    fn what_was_applied_and_left_alone_needs_no_apply() {
        assert_eq!(digest_of_live(&live(), US), digest_of_desired(&desired()));
    }

    #[test]
    fn defaults_counts_and_labels_of_others_change_nothing() {
        let mut live = live();
        live["spec"]["replicas"] = 9.into();
        live["metadata"]["labels"]["more"] = "3".into();
        container(&mut live)["terminationMessagePath"] = "/dev/x".into();
        assert_eq!(digest_of_live(&live, US), digest_of_desired(&desired()));
    }

    #[test]
    fn every_change_of_a_field_of_ours_is_seen() {
        let wanted = digest_of_desired(&desired());
        let mut other = live();
        container(&mut other)["image"] = "i:2".into();
        assert_ne!(digest_of_live(&other, US), wanted, "another value");
        let mut other = live();
        container(&mut other)["env"][0]["value"] = "3".into();
        assert_ne!(
            digest_of_live(&other, US),
            wanted,
            "another value in a list"
        );
        let mut other = live();
        container(&mut other)["args"] = json!(["serve", "more"]);
        assert_ne!(
            digest_of_live(&other, US),
            wanted,
            "one item more in a list that is one value"
        );
        let mut other = live();
        other["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] = json!({});
        assert_ne!(
            digest_of_live(&other, US),
            wanted,
            "somebody else owns it now"
        );
        let mut other = live();
        other["metadata"]["managedFields"] = json!([]);
        assert_ne!(digest_of_live(&other, US), wanted, "nobody owns it");
    }

    #[test]
    fn a_field_that_is_no_longer_wanted_is_seen() {
        let mut less = desired();
        less["metadata"]["labels"] = Value::Null;
        assert_ne!(digest_of_live(&live(), US), digest_of_desired(&less));
    }

    fn with_foreign(fields: Value) -> Value {
        let mut live = live();
        let entries = live["metadata"]["managedFields"]
            .as_array_mut()
            .expect("entries");
        entries.push(json!({"manager": "kubectl-set", "operation": "Update", "fieldsV1": fields}));
        live
    }

    fn in_container(fields: Value) -> Value {
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": fields}}}}})
    }

    #[test]
    fn what_others_add_is_named_with_their_name() {
        let added = in_container(json!({"f:env": {
            "k:{\"name\":\"EXTRA\"}": {".": {}, "f:name": {}, "f:value": {}},
            "k:{\"name\":\"A\"}": {"f:value": {}},
        }}));
        assert_eq!(
            foreign_fields(&with_foreign(added), US),
            [
                "kubectl-set: spec.template.spec.containers[c].env[A].value",
                "kubectl-set: spec.template.spec.containers[c].env[EXTRA]",
            ]
        );
        let restart = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:metadata": {"f:annotations": {"f:restartedAt": {}}}}}});
        assert!(foreign_fields(&with_foreign(restart), US).is_empty());
        assert!(foreign_fields(&live(), US).is_empty());
        let many = (0..7).map(|number| (format!("f:field{number}"), json!({})));
        let many: Map<_, _> = many.collect();
        let many = with_foreign(json!({"f:spec": many}));
        assert_eq!(foreign_fields(&many, US).len(), 7);
    }

    #[test]
    fn where_what_others_change_stays_their_values_count_too() {
        let image = |by_them: &str, label: Option<&str>| {
            let mut live = with_foreign(in_container(json!({"f:image": {}})));
            let ours = "/metadata/managedFields/0/fieldsV1/f:spec/f:template/f:spec/f:containers";
            let ours = live.pointer_mut(ours).expect("ours");
            let ours = ours["k:{\"name\":\"c\"}"].as_object_mut();
            ours.expect("a container").remove("f:image");
            container(&mut live)["image"] = by_them.into();
            if let Some(label) = label {
                live["metadata"]["labels"][DRIFT_LABEL] = label.into();
            }
            digest_of_live(&live, US)
        };
        assert_eq!(image("i:1", None), image("i:2", None));
        assert_ne!(image("i:1", Some("f")), image("i:2", Some("f")));
    }

    #[test]
    fn a_take_over_takes_what_stands_beside_a_refused_field_and_nothing_else() {
        let mut fields = in_container(json!({"f:env": {"k:{\"name\":\"A\"}": {"f:value": {}}}}));
        fields["f:spec"]["f:paused"] = json!({});
        let refused = ["spec.template.spec.containers[0].env[1].valueFrom".to_owned()];
        fields["f:spec"]["f:replicas"] = json!({});
        fields["f:spec"]["f:template"]["f:metadata"] =
            json!({"f:annotations": {"f:restartedAt": {}}});
        fields["f:metadata"] = json!({"f:annotations": {"f:note": {}}});
        let live = with_foreign(fields);
        let entries: Vec<ManagedFieldsEntry> =
            serde_json::from_value(live["metadata"]["managedFields"].clone()).expect("entries");
        let (entries, from) = take_over(&entries, US, &refused).expect("something to take over");
        let path = "spec.template.spec.containers[c].env[A].value";
        assert_eq!(from, [format!("kubectl-set: {path}")]);
        let entries = serde_json::to_value(entries).expect("JSON");
        let container = "/0/fieldsV1/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"c\"}/f:env/k:{\"name\":\"A\"}/f:value";
        assert!(entries.pointer(container).is_some(), "{entries:#}");
        assert_eq!(
            entries[2]["fieldsV1"],
            json!({
                "f:metadata": {"f:annotations": {"f:note": {}}},
                "f:spec": {"f:paused": {}, "f:replicas": {}, "f:template": {"f:metadata": {"f:annotations": {"f:restartedAt": {}}}}},
            })
        );
        assert!(
            take_over(
                &serde_json::from_value::<Vec<_>>(entries).expect("entries"),
                US,
                &refused
            )
            .is_none()
        );
    }
}
