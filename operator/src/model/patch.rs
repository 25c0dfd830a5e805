//! Strategic merge: a patch goes into an object field by field, and into lists by the key by which Kubernetes tells their items apart. Pure.
//!
//! `k8s_openapi::DeepMerge` merges whole structs: a field that must be there and that the patch leaves out (`maxReplicas` beside
//! `behavior`) would become zero, and nothing could be taken away.

use serde_json::{Map, Value, json};

/// Beside the fields of a patch: what becomes of what is there.
pub(super) const DIRECTIVE: &str = "$patch";
/// It goes.
pub(super) const DELETE: &str = "delete";
/// It gives way to what the patch says.
pub(super) const REPLACE: &str = "replace";

/// The field by which items of a list are told apart (`x-kubernetes-patch-merge-key`), or one of these; none where a list is replaced as a
/// whole.
pub fn merge_keys(list: &str) -> &'static [&'static str] {
    match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "resourceClaims"
        | "schedulingGates"
        | "secrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey"],
        // Those of a container, and those of a Service.
        "ports" => &["containerPort", "port"],
        _ => &[],
    }
}

/// By what an item of this list is told from the others.
pub(super) fn key_of<'a>(list: &str, item: &'a Value) -> Option<&'a Value> {
    merge_keys(list).iter().find_map(|key| item.get(key))
}

/// Whether a patch says something at a path or beside it. The path is one by which the API server names what it refuses:
/// `spec.template.spec.containers[0].env[1].valueFrom`.
pub fn touches(patch: &Map<String, Value>, path: &str) -> bool {
    let names = path.split('.').map(|part| match part.split_once('[') {
        Some((name, _)) => name,
        None => part,
    });
    let mut names: Vec<_> = names.collect();
    names.pop();
    match names.split_first() {
        None => true,
        Some((name, below)) => {
            let inside = patch.get(*name);
            inside.is_some_and(|inside| leads_to(inside, below))
        }
    }
}

/// What is said further up is said of all that lies below.
fn leads_to(patch: &Value, names: &[&str]) -> bool {
    let Some((name, below)) = names.split_first() else {
        return true;
    };
    match patch {
        Value::Object(fields) => {
            let inside = fields.get(*name);
            fields.contains_key(DIRECTIVE) || inside.is_some_and(|inside| leads_to(inside, below))
        }
        Value::Array(items) => items.is_empty() || items.iter().any(|item| leads_to(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Merges a patch into an object.
pub fn merge(into: &mut Value, patch: &Value) {
    merge_field("", into, patch);
}

fn merge_field(name: &str, into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => {
            let replaces = patch.get(DIRECTIVE).is_some_and(|what| what == REPLACE);
            if replaces || !into.is_object() {
                *into = json!({});
            }
            let Some(fields) = into.as_object_mut() else {
                return;
            };
            for (name, value) in patch.iter().filter(|(name, _)| *name != DIRECTIVE) {
                if deletes(value) {
                    fields.remove(name);
                } else {
                    let field = fields.entry(name).or_insert(Value::Null);
                    merge_field(name, field, value);
                }
            }
        }
        Value::Array(patch) if !merge_keys(name).is_empty() => {
            if !into.is_array() {
                *into = json!([]);
            }
            let Some(items) = into.as_array_mut() else {
                return;
            };
            for item in patch {
                merge_item(name, items, item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            *into = patch.clone()
        }
    }
}

/// What is new comes last: the first container of a pod is that of the service.
fn merge_item(list: &str, items: &mut Vec<Value>, item: &Value) {
    let key = key_of(list, item);
    let there = items.iter().position(|there| key_of(list, there) == key);
    match (there, deletes(item)) {
        (Some(number), true) => {
            items.remove(number);
        }
        (Some(number), false) => merge(&mut items[number], item),
        (None, true) => {}
        (None, false) => {
            let mut new = Value::Null;
            merge(&mut new, item);
            items.push(new);
        }
    }
}

/// What is there goes.
pub(super) fn deletes(value: &Value) -> bool {
    value.get(DIRECTIVE).is_some_and(|what| what == DELETE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(mut object: Value, patch: Value) -> Value {
        merge(&mut object, &patch);
        object
    }

    fn pod() -> Value {
        json!({
            "securityContext": {"runAsUser": 1, "runAsNonRoot": true},
            "tolerations": [{"key": "a"}],
            "containers": [{
                "name": "orders", "image": "i:1", "args": ["serve"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"name": "http", "containerPort": 8080}],
                "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
            }],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        })
    }

    #[test]
    fn lists_are_merged_by_their_keys_and_what_is_new_comes_last() {
        let patch = json!({
            "containers": [
                {"name": "beside", "image": "b:1"},
                {
                    "name": "orders",
                    "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
                    "ports": [{"containerPort": 8080, "hostPort": 80}],
                    "volumeMounts": [{"mountPath": "/tmp", "readOnly": true}],
                },
            ],
            "volumes": [{"name": "more", "emptyDir": {}}],
        });
        let mut expected = pod();
        let own = &mut expected["containers"][0];
        own["env"] = json!([
            {"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"},
        ]);
        own["ports"][0]["hostPort"] = 80.into();
        own["volumeMounts"][0]["readOnly"] = true.into();
        let beside = json!({"name": "beside", "image": "b:1"});
        expected["containers"] = json!([own, beside]);
        expected["volumes"] =
            json!([{"name": "scratch", "emptyDir": {}}, {"name": "more", "emptyDir": {}}]);
        assert_eq!(merged(pod(), patch), expected);
    }

    #[test]
    fn lists_without_a_key_are_replaced_as_a_whole() {
        let patch = json!({
            "tolerations": [{"key": "b"}], "containers": [{"name": "orders", "args": ["x", "y"]}],
        });
        let merged = merged(pod(), patch);
        assert_eq!(merged["tolerations"], json!([{"key": "b"}]));
        assert_eq!(merged["containers"][0]["args"], json!(["x", "y"]));
    }

    #[test]
    fn what_is_to_go_goes_and_what_is_not_there_need_not() {
        let patch = json!({
            "securityContext": {"runAsUser": {"$patch": "delete"}, "fsGroup": {"$patch": "delete"}},
            "tolerations": {"$patch": "delete"},
            "containers": [{"name": "orders", "env": [
                {"name": "A", "$patch": "delete"}, {"name": "Z", "$patch": "delete"},
            ]}],
            "volumes": [{"name": "scratch", "$patch": "replace", "hostPath": {"path": "/x"}}],
        });
        let merged = merged(pod(), patch);
        assert_eq!(merged["securityContext"], json!({"runAsNonRoot": true}));
        assert_eq!(merged["tolerations"], Value::Null);
        let env = &merged["containers"][0]["env"];
        assert_eq!(*env, json!([{"name": "B", "value": "2"}]));
        let volume = json!([{"name": "scratch", "hostPath": {"path": "/x"}}]);
        assert_eq!(merged["volumes"], volume);
    }

    #[test]
    fn a_patch_touches_what_stands_beside_what_it_names() {
        let patch = json!({
            "metadata": {"labels": {"team": "a"}},
            "spec": {"strategy": {"$patch": "replace", "type": "Recreate"}, "template": {"spec": {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{"name": "orders", "securityContext": {"runAsUser": 0}}],
            }}},
        });
        let patch = patch.as_object().expect("fields");
        for (path, is_touched) in [
            ("metadata.labels", true),
            ("spec.strategy.rollingUpdate", true),
            ("spec.strategy.rollingUpdate.maxSurge", true),
            ("spec.template.spec.volumes[0].hostPath", true),
            ("spec.template.spec.priorityClassName", true),
            (
                "spec.template.spec.containers[0].securityContext.runAsUser",
                true,
            ),
            ("spec.template.spec.containers[1].image", true),
            ("spec.template.spec.containers[0].env[1].valueFrom", false),
            ("spec.template.spec.affinity.nodeAffinity", false),
        ] {
            assert_eq!(touches(patch, path), is_touched, "{path}");
        }
        let nobody = json!({"spec": {"ingress": []}});
        let nobody = nobody.as_object().expect("fields");
        assert!(touches(nobody, "spec.ingress[0].from[0].podSelector"));
    }

    #[test]
    fn what_is_new_keeps_no_word_about_the_merge() {
        let patch = json!({"affinity": {"$patch": "replace", "nodeAffinity": {"$patch": "delete"}},
            "initContainers": [{"name": "first", "env": [{"name": "A", "$patch": "delete"}]}]});
        let merged = merged(json!({}), patch);
        let expected = json!({"affinity": {}, "initContainers": [{"name": "first", "env": []}]});
        assert_eq!(merged, expected);
    }
}
