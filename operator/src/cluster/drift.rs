//! What an apply finds set otherwise by somebody else: which of it stays, and which goes back by force. Pure.

use kube::core::{Status, response::StatusCause};
use serde_json::{Deserializer, Map, Value};

use super::{FIELD_MANAGER, ownership};
use crate::naming::labels::DRIFT_LABEL;

/// Stays under no policy, wherever in a specification it is: by what objects are found, what pods may do, which Secrets they read, and
/// how many there may be (each has its share of a database's connections) and must be (the service is not whole with fewer).
const KEPT: [&str; 10] = [
    "maxReplicas",
    "maxSurge",
    "minReplicas",
    "scaleTargetRef",
    "selector",
    "metadata",
    "securityContext",
    "serviceAccountName",
    "automountServiceAccountToken",
    "valueFrom",
];

/// The same at this place: who can reach a Service.
const KEPT_PATH: &str = ".spec.type";

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

    /// Nothing stays: without what was to stay, or beside it, the rest makes no valid object.
    pub fn all_taken_back(self, desired: &Value) -> Self {
        let mut taken_back = [self.left, self.taken_back].concat();
        taken_back.sort();
        taken_back.dedup();
        Self {
            taken_back,
            ..Self::none(desired)
        }
    }
}

/// Whether an apply was refused because the object is not any more what it was to be applied to.
pub(super) fn is_outrun(answer: &Status) -> bool {
    answer.code == 409 && !is_conflict(answer)
}

/// Whether an apply was refused because others have set fields of it otherwise.
pub fn is_conflict(answer: &Status) -> bool {
    conflicts(answer).next().is_some()
}

fn conflicts(answer: &Status) -> impl Iterator<Item = &StatusCause> {
    let causes = answer.details.iter().flat_map(|details| &details.causes);
    causes.filter(|cause| cause.reason == "FieldManagerConflict")
}

/// What is to become of an apply after such an answer. `live` is the object that is there, with who owns which field; null where what it was
/// does not count.
pub fn drift(answer: &Status, desired: &Value, live: &Value) -> Drift {
    let mark = |object: &Value| {
        let mark = object["metadata"]["labels"][DRIFT_LABEL].as_str();
        mark.map(str::to_owned)
    };
    let asked = mark(desired);
    // What is asked for has changed since: all of it is made anew.
    let is_same = asked.is_some() && asked == mark(live);
    let ours = ownership::applied_fields(live, FIELD_MANAGER);
    let mut drift = Drift::none(desired);
    let mut left_out: Vec<&str> = Vec::new();
    for cause in conflicts(answer) {
        let (who, path) = (manager(cause), cause.field.as_str());
        let told = format!("{who}: {}", told(path));
        let is_left_out = |above: &&str| path.strip_prefix(*above).is_some_and(is_below);
        if who == FIELD_MANAGER || ours.is_some_and(|ours| has(ours, path)) {
            // We have written it by another kind of request; or it is still as we have applied it, and somebody has set the same.
        } else if is_same
            && may_stay(path)
            && (left_out.iter().any(is_left_out) || remove(&mut drift.apply, path))
        {
            left_out.push(path);
            drift.left.push(told);
        } else {
            drift.taken_back.push(told);
        }
    }
    for fields in [&mut drift.left, &mut drift.taken_back] {
        fields.sort();
        fields.dedup();
    }
    drift
}

/// `conflict with "kubectl-set" using apps/v1`.
fn manager(cause: &StatusCause) -> String {
    let quoted = cause.message.find('"').map(|at| &cause.message[at..]);
    let name = quoted.and_then(|text| value(text)?.0.as_str().map(str::to_owned));
    name.unwrap_or_else(|| ownership::SOMEBODY.into())
}

fn may_stay(path: &str) -> bool {
    let mut names = path.split(['.', '[']);
    path.starts_with(".spec.") && path != KEPT_PATH && !names.any(|name| KEPT.contains(&name))
}

/// Takes a field out. A path does not say where a name with dots ends: the object does. False where there is no such field, or it is an
/// item of a list as a whole.
fn remove(value: &mut Value, path: &str) -> bool {
    match value {
        Value::Object(fields) => {
            let names = fields.keys();
            let begin = names.filter_map(|name| Some((after(path, name)?, name.clone())));
            let Some((rest, first)) = begin.min_by_key(|(rest, _)| rest.len()) else {
                return false;
            };
            match (rest, fields.get_mut(&first)) {
                ("", _) => fields.remove(&first).is_some(),
                (rest, Some(below)) => remove(below, rest),
                (_, None) => false,
            }
        }
        Value::Array(items) => {
            let Some((keys, rest)) = keys(path) else {
                return false;
            };
            let is_it = |item: &&mut Value| keys.iter().all(|(key, is)| is_key(item, key, is));
            let item = items.iter_mut().find(is_it);
            item.is_some_and(|item| remove(item, rest))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether an item has this key. A port without a protocol has the one that the API server gives it.
fn is_key(item: &Value, key: &str, is: &Value) -> bool {
    item.get(key)
        .map_or(key == "protocol" && is == "TCP", |has| has == is)
}

/// Whether a field set of `managedFields` has this field.
fn has(fields: &Map<String, Value>, path: &str) -> bool {
    if path.is_empty() {
        return true;
    }
    let item = keys(path);
    let rest_after = |key: &str| match &item {
        Some((keys, rest)) => {
            let named: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            (named.as_object() == Some(keys)).then_some(*rest)
        }
        None => after(path, key.strip_prefix("f:")?),
    };
    let found = fields.iter();
    let found = found.filter_map(|(key, below)| Some((rest_after(key)?, below)));
    let found = found.min_by_key(|(rest, _)| rest.len());
    found.is_some_and(|(rest, below)| below.as_object().is_some_and(|below| has(below, rest)))
}

/// What follows a name with which a path begins.
fn after<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let rest = path.strip_prefix('.')?.strip_prefix(name)?;
    is_below(rest).then_some(rest)
}

/// Whether this, behind a path, leads to the same or to what lies below it.
fn is_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['.', '['])
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
                    "ports": [{"containerPort": 8080, "name": "http"}],
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

    /// What is there, with this mark.
    fn live(mark: Option<&str>) -> Value {
        let mut live = desired();
        live["metadata"]["labels"][DRIFT_LABEL] = mark.into();
        live
    }

    fn at<'a>(drift: &'a Drift, pointer: &str) -> Option<&'a Value> {
        drift.apply.pointer(pointer)
    }

    #[test]
    fn what_somebody_changed_goes_back_unless_the_object_says_that_it_stays() {
        let answer = refused(&[("kubectl-set", IMAGE)]);
        let told = ["kubectl-set: spec.template.spec.containers[orders].image"];
        for known in [None, Some("another")] {
            let drift = drift(&answer, &desired(), &live(known));
            assert_eq!((drift.apply, drift.left), (desired(), vec![]), "{known:?}");
            assert_eq!(drift.taken_back, told);
        }
        let gone = drift(&answer, &desired(), &Value::Null);
        assert_eq!(gone.left, Vec::<String>::new());
        let drift = drift(&answer, &desired(), &live(Some("f")));
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
            let drift = drift(&answer, &desired, &live(known));
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
            ".spec.type",
            ".spec.maxReplicas",
            ".spec.minReplicas",
            ".spec.strategy.rollingUpdate.maxSurge",
            ".spec.scaleTargetRef.name",
        ] {
            let answer = refused(&[("kubectl-edit", path)]);
            let mut desired = desired();
            for (field, is) in [
                ("type", json!("ClusterIP")),
                ("maxReplicas", json!(3)),
                ("minReplicas", json!(2)),
                ("strategy", json!({"rollingUpdate": {"maxSurge": 1}})),
                ("scaleTargetRef", json!({"name": "demo-orders"})),
            ] {
                desired["spec"][field] = is;
            }
            let drift = drift(&answer, &desired, &live(Some("f")));
            assert_eq!((drift.apply, drift.left), (desired, vec![]), "{path}");
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
            (
                "d",
                r#".spec.template.spec.containers[name="orders"].ports[containerPort=8080,protocol="TCP"].name"#,
            ),
        ]);
        let drift = drift(&answer, &desired(), &live(Some("f")));
        assert_eq!(
            drift.left,
            [
                "a: spec.ports[80,TCP].targetPort",
                "b: spec.template.spec.containers[orders].resources.limits.example.com/gpu",
                "c: spec.template.spec.containers[orders].env[LOG].value",
                "d: spec.template.spec.containers[orders].ports[8080,TCP].name",
            ]
        );
        assert_eq!(
            at(&drift, "/spec/ports/0"),
            Some(&json!({"port": 80, "protocol": "TCP"}))
        );
        let container = at(&drift, "/spec/template/spec/containers/0").expect("a container");
        assert_eq!(container["resources"], json!({"limits": {"memory": "1Gi"}}));
        assert_eq!(container["env"], json!([{"name": "LOG"}]));
        assert_eq!(container["ports"], json!([{"containerPort": 8080}]));
    }

    #[test]
    fn an_item_as_a_whole_and_what_is_not_there_go_back() {
        for path in [
            r#".spec.template.spec.containers[name="orders"]"#,
            r#".spec.template.spec.containers[name="other"].image"#,
            ".spec.sessionAffinity",
            ".spec.ports[0].port",
        ] {
            let answer = refused(&[("kubectl-edit", path)]);
            let drift = drift(&answer, &desired(), &live(Some("f")));
            assert_eq!((drift.apply, drift.left), (desired(), vec![]), "{path}");
        }
    }

    #[test]
    fn what_we_wrote_ourselves_is_no_drift_and_other_refusals_neither() {
        let answer = refused(&[(FIELD_MANAGER, ".metadata.annotations.a")]);
        assert!(is_conflict(&answer), "to be forced");
        let own = drift(&answer, &desired(), &live(Some("f")));
        assert_eq!((own.left.len(), own.taken_back.len()), (0, 0));
        let mut other = refused(&[]);
        assert!(!is_conflict(&other));
        other.details = None;
        assert!(!is_conflict(&other));
    }

    #[test]
    fn a_field_that_two_have_changed_stays_or_goes_for_both() {
        let below = r#".spec.template.spec.containers[name="orders"].resources.limits"#;
        let memory = format!("{below}.memory");
        let answer = refused(&[
            ("a", IMAGE),
            ("b", IMAGE),
            ("a", below),
            ("b", memory.as_str()),
        ]);
        let stays = drift(&answer, &desired(), &live(Some("f")));
        assert_eq!((stays.left.len(), stays.taken_back.len()), (4, 0));
        let container = at(&stays, "/spec/template/spec/containers/0").expect("a container");
        assert_eq!(container.get("image"), None);
        assert_eq!(container["resources"], json!({}));
        let goes = drift(&answer, &desired(), &live(None));
        assert_eq!((goes.left.len(), goes.taken_back.len()), (0, 4));
    }

    #[test]
    fn what_is_as_we_have_applied_it_was_changed_by_nobody() {
        let port = r#".spec.ports[port=80,protocol="TCP"].targetPort"#;
        let label = ".metadata.labels.app.kubernetes.io/name";
        let answer = refused(&[("a", IMAGE), ("a", port), ("a", label)]);
        let mut live = live(None);
        let fields = json!({
            "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}, "f:app": {}}},
            "f:spec": {
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:targetPort": {}}},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"orders\"}": {"f:name": {}}}}},
            },
        });
        live["metadata"]["managedFields"] =
            json!([{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}]);
        let drift = drift(&answer, &desired(), &live);
        assert_eq!(drift.apply, desired());
        assert_eq!(drift.left, Vec::<String>::new());
        let image = "a: spec.template.spec.containers[orders].image";
        assert_eq!(drift.taken_back, [image], "this is another one's alone");
    }

    #[test]
    fn where_the_rest_makes_no_whole_all_goes_back() {
        let answer = refused(&[("b", IMAGE), ("a", ".spec.selector")]);
        let drift = drift(&answer, &desired(), &live(Some("f")));
        assert_eq!((drift.left.len(), drift.taken_back.len()), (1, 1));
        let drift = drift.all_taken_back(&desired());
        assert_eq!((drift.apply, drift.left), (desired(), vec![]));
        let image = "b: spec.template.spec.containers[orders].image";
        assert_eq!(drift.taken_back, ["a: spec.selector", image]);
    }
}
