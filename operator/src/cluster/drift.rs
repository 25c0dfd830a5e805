//! What an apply finds set otherwise by somebody else: which of it stays, and which goes back by force. Pure.

use kube::core::{Status, response::StatusCause};
use serde_json::{Deserializer, Map, Value};

use super::{FIELD_MANAGER, ownership};
use crate::naming::labels::DRIFT_LABEL;

/// Stays under no policy, wherever in a specification it is: by what objects are found, what pods may do, and which Secrets they read.
const KEPT: [&str; 6] = [
    "selector",
    "metadata",
    "securityContext",
    "serviceAccountName",
    "automountServiceAccountToken",
    "valueFrom",
];

/// An apply that the API server did not take without force, because others have set fields of it otherwise. Fields are told as
/// `<who>: <path>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// What is to be applied by force.
    pub apply: Value,
    /// Fields that are no part of it: they stay as others have set them.
    pub left: Vec<String>,
    /// Fields that the force takes back.
    pub taken_back: Vec<String>,
}

impl Drift {
    /// Nobody has.
    pub(super) fn none(desired: &Value) -> Self {
        Self {
            apply: desired.clone(),
            left: Vec::new(),
            taken_back: Vec::new(),
        }
    }
}

/// What is to become of an apply after this answer; none where that says nothing of others. `known` is what [`DRIFT_LABEL`] says on the
/// object that is there.
pub fn drift(answer: &Status, desired: &Value, known: Option<&str>) -> Option<Drift> {
    let causes = answer.details.iter().flat_map(|details| &details.causes);
    let causes: Vec<_> = causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .collect();
    if causes.is_empty() {
        return None;
    }
    let asked = desired["metadata"]["labels"][DRIFT_LABEL].as_str();
    // What is asked for has changed since: all of it is made anew.
    let is_same = asked.is_some() && asked == known;
    let mut drift = Drift::none(desired);
    for cause in causes {
        let who = manager(cause);
        let told = format!("{who}: {}", told(&cause.field));
        if who == FIELD_MANAGER {
            // What we have written by another kind of request.
        } else if is_same && may_stay(&cause.field) && remove(&mut drift.apply, &cause.field) {
            drift.left.push(told);
        } else {
            drift.taken_back.push(told);
        }
    }
    for fields in [&mut drift.left, &mut drift.taken_back] {
        fields.sort();
        fields.dedup();
    }
    Some(drift)
}

/// `conflict with "kubectl-set" using apps/v1`.
fn manager(cause: &StatusCause) -> String {
    let quoted = cause.message.find('"').map(|at| &cause.message[at..]);
    let name = quoted.and_then(|text| value(text)?.0.as_str().map(str::to_owned));
    name.unwrap_or_else(|| ownership::SOMEBODY.into())
}

fn may_stay(path: &str) -> bool {
    let mut names = path.split(['.', '[']);
    path.starts_with(".spec.") && !names.any(|name| KEPT.contains(&name))
}

/// Takes a field out. A path does not say where a name with dots ends: the object does. False where there is no such field, or it is an
/// item of a list as a whole.
fn remove(value: &mut Value, path: &str) -> bool {
    match value {
        Value::Object(fields) => {
            let Some(path) = path.strip_prefix('.') else {
                return false;
            };
            let is_first = |name: &&String| {
                let rest = path.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let first = fields.keys().filter(is_first).max_by_key(|name| name.len());
            let Some(first) = first.cloned() else {
                return false;
            };
            match (&path[first.len()..], fields.get_mut(&first)) {
                ("", _) => fields.remove(&first).is_some(),
                (rest, Some(below)) => remove(below, rest),
                (_, None) => false,
            }
        }
        Value::Array(items) => {
            let Some((keys, rest)) = keys(path) else {
                return false;
            };
            let is_it = |item: &&mut Value| keys.iter().all(|(key, is)| item.get(key) == Some(is));
            let item = items.iter_mut().find(is_it);
            item.is_some_and(|item| remove(item, rest))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A path as people read it, and as [`ownership`] names fields: `spec.template.spec.containers[orders].image`.
fn told(path: &str) -> String {
    let mut told = String::new();
    let mut rest = path.strip_prefix('.').unwrap_or(path);
    while let Some(at) = rest.find('[') {
        let Some((keys, after)) = keys(&rest[at..]) else {
            break;
        };
        told += &rest[..at];
        told += &format!("[{}]", ownership::key_values(&keys));
        rest = after;
    }
    told + rest
}

/// The keys of an item with which a path begins, and what follows: `[port=80,protocol="TCP"].targetPort`.
fn keys(path: &str) -> Option<(Map<String, Value>, &str)> {
    let mut rest = path.strip_prefix('[')?;
    let mut keys = Map::new();
    loop {
        let (key, after) = rest.split_once('=')?;
        let (is, after) = value(after)?;
        keys.insert(key.to_owned(), is);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((keys, after.strip_prefix(']')?)),
        }
    }
}

/// The JSON with which a text begins, and what follows.
fn value(text: &str) -> Option<(Value, &str)> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const IMAGE: &str = r#".spec.template.spec.containers[name="orders"].image"#;

    fn desired() -> Value {
        json!({
            "metadata": {"name": "demo-orders", "labels": {DRIFT_LABEL: "f", "app.kubernetes.io/name": "orders"}},
            "spec": {
                "selector": {"a": "b"},
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
                "template": {"spec": {"containers": [{
                    "name": "orders", "image": "o:1", "securityContext": {"runAsUser": 1},
                    "resources": {"limits": {"example.com/gpu": "1", "memory": "1Gi"}},
                    "env": [{"name": "LOG", "value": "info"}],
                }]}},
            },
        })
    }

    fn refused(conflicts: &[(&str, &str)]) -> Status {
        let cause = |(who, field): &(&str, &str)| {
            let message = format!(r#"conflict with "{who}" using apps/v1 at 2026-01-01T00:00:00Z"#);
            json!({"reason": "FieldManagerConflict", "message": message, "field": field})
        };
        let causes: Vec<_> = conflicts.iter().map(cause).collect();
        let status = json!({"code": 409, "reason": "Conflict", "details": {"causes": causes}});
        serde_json::from_value(status).expect("a Status")
    }

    fn at<'a>(drift: &'a Drift, pointer: &str) -> Option<&'a Value> {
        drift.apply.pointer(pointer)
    }

    #[test]
    fn what_somebody_changed_goes_back_unless_the_object_says_that_it_stays() {
        let answer = refused(&[("kubectl-set", IMAGE)]);
        let told = ["kubectl-set: spec.template.spec.containers[orders].image"];
        for known in [None, Some("another")] {
            let drift = drift(&answer, &desired(), known).expect("drift");
            assert_eq!((drift.apply, drift.left), (desired(), vec![]), "{known:?}");
            assert_eq!(drift.taken_back, told);
        }
        let drift = drift(&answer, &desired(), Some("f")).expect("drift");
        assert_eq!(drift.left, told);
        assert_eq!(drift.taken_back, Vec::<String>::new());
        assert_eq!(at(&drift, "/spec/template/spec/containers/0/image"), None);
        let mut rest = drift.apply;
        rest["spec"]["template"]["spec"]["containers"][0]["image"] = "o:1".into();
        assert_eq!(rest, desired(), "all else is applied");
    }

    #[test]
    fn what_was_not_asked_to_be_reported_goes_back() {
        let mut desired = desired();
        desired["metadata"]["labels"] = json!({});
        let answer = refused(&[("kubectl-set", IMAGE)]);
        for known in [None, Some("f")] {
            let drift = drift(&answer, &desired, known).expect("drift");
            assert_eq!((drift.left.len(), drift.taken_back.len()), (0, 1));
        }
    }

    #[test]
    fn labels_selectors_rights_and_secrets_go_back_always() {
        for path in [
            ".metadata.labels.app.kubernetes.io/name",
            ".metadata.ownerReferences",
            ".spec.selector",
            ".spec.selector.matchLabels.app.kubernetes.io/name",
            ".spec.template.metadata.labels.app.kubernetes.io/name",
            r#".spec.template.spec.containers[name="orders"].securityContext.runAsUser"#,
            ".spec.template.spec.serviceAccountName",
            r#".spec.template.spec.containers[name="orders"].env[name="DATABASE_URL"].valueFrom.secretKeyRef"#,
        ] {
            let answer = refused(&[("kubectl-edit", path)]);
            let drift = drift(&answer, &desired(), Some("f")).expect("drift");
            assert_eq!((drift.apply, drift.left), (desired(), vec![]), "{path}");
            assert_eq!(drift.taken_back.len(), 1, "{path}");
        }
    }

    #[test]
    fn fields_are_found_in_lists_and_under_names_with_dots() {
        let answer = refused(&[
            ("a", r#".spec.ports[port=80,protocol="TCP"].targetPort"#),
            (
                "b",
                r#".spec.template.spec.containers[name="orders"].resources.limits.example.com/gpu"#,
            ),
            (
                "c",
                r#".spec.template.spec.containers[name="orders"].env[name="LOG"].value"#,
            ),
        ]);
        let drift = drift(&answer, &desired(), Some("f")).expect("drift");
        assert_eq!(
            drift.left,
            [
                "a: spec.ports[80,TCP].targetPort",
                "b: spec.template.spec.containers[orders].resources.limits.example.com/gpu",
                "c: spec.template.spec.containers[orders].env[LOG].value",
            ]
        );
        assert_eq!(
            at(&drift, "/spec/ports/0"),
            Some(&json!({"port": 80, "protocol": "TCP"}))
        );
        let container = at(&drift, "/spec/template/spec/containers/0").expect("a container");
        assert_eq!(container["resources"], json!({"limits": {"memory": "1Gi"}}));
        assert_eq!(container["env"], json!([{"name": "LOG"}]));
    }

    #[test]
    fn an_item_as_a_whole_and_what_is_not_there_go_back() {
        for path in [
            r#".spec.template.spec.containers[name="orders"]"#,
            r#".spec.template.spec.containers[name="other"].image"#,
            ".spec.type",
            ".spec.ports[0].port",
        ] {
            let answer = refused(&[("kubectl-edit", path)]);
            let drift = drift(&answer, &desired(), Some("f")).expect("drift");
            assert_eq!((drift.apply, drift.left), (desired(), vec![]), "{path}");
        }
    }

    #[test]
    fn what_we_wrote_ourselves_is_no_drift_and_other_refusals_neither() {
        let answer = refused(&[(FIELD_MANAGER, ".metadata.annotations.a")]);
        let drift_of = |answer: &Status| drift(answer, &desired(), Some("f"));
        let own = drift_of(&answer).expect("to be forced");
        assert_eq!((own.left.len(), own.taken_back.len()), (0, 0));
        let mut other = refused(&[]);
        assert_eq!(drift_of(&other), None);
        other.details = None;
        assert_eq!(drift_of(&other), None);
    }
}
