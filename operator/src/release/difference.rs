//! What differs between two templates of pods, in words. Pure.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// So many differences are told; of the others only the number.
const TOLD: usize = 8;
/// A longer value is not told: it would hide the rest.
const VALUE_BYTES: usize = 60;

/// What changes from one template to the other, each by its path. Items of lists go by their names.
pub fn difference(from: &PodTemplateSpec, to: &PodTemplateSpec) -> Vec<String> {
    let json = |template: &PodTemplateSpec| serde_json::to_value(template).unwrap_or_default();
    let mut found = Vec::new();
    compare("", &json(from), &json(to), &mut found);
    let more = found.len().saturating_sub(TOLD);
    found.truncate(TOLD);
    if more > 0 {
        found.push(format!("{more} more"));
    }
    found
}

fn compare(path: &str, from: &Value, to: &Value, found: &mut Vec<String>) {
    match (from, to) {
        (from, to) if from == to => {}
        (Value::Object(from), Value::Object(to)) => {
            let mut keys: Vec<_> = from.keys().chain(to.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let path = joined(path, key);
                compare(&path, at(from.get(key)), at(to.get(key)), found);
            }
        }
        (Value::Array(from), Value::Array(to)) => match (by_name(from), by_name(to)) {
            (Some(a), Some(b)) => {
                let mut names: Vec<_> = a.iter().chain(&b).map(|(name, _)| *name).collect();
                names.sort_unstable();
                names.dedup();
                for name in names {
                    let of = |items: &[(&str, &Value)]| {
                        let found = items.iter().find(|(known, _)| *known == name);
                        found.map_or(Value::Null, |(_, value)| (*value).clone())
                    };
                    compare(&format!("{path}[{name}]"), &of(&a), &of(&b), found);
                }
            }
            _ => found.push(format!("{path} changes")),
        },
        (Value::Null, _) => found.push(format!("{path} comes")),
        (_, Value::Null) => found.push(format!("{path} goes")),
        (from, to) => match (short(from), short(to)) {
            (Some(from), Some(to)) => found.push(format!("{path} from {from} to {to}")),
            _ => found.push(format!("{path} changes")),
        },
    }
}

fn joined(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

fn at(value: Option<&Value>) -> &Value {
    value.unwrap_or(&Value::Null)
}

/// Items with their names, where all have one.
fn by_name(items: &[Value]) -> Option<Vec<(&str, &Value)>> {
    let named = items
        .iter()
        .map(|item| Some((item.get("name")?.as_str()?, item)));
    named.collect()
}

fn short(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.len() <= VALUE_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(container: Value) -> PodTemplateSpec {
        serde_json::from_value(json!({"spec": {"containers": [container]}})).expect("a template")
    }

    #[test]
    fn each_difference_has_its_path() {
        let from = template(json!({
            "name": "orders",
            "image": "a:1",
            "env": [{"name": "A", "value": "1"}, {"name": "GONE", "value": "1"}],
        }));
        let to = template(json!({
            "name": "orders",
            "image": "a:2",
            "env": [{"name": "A", "value": "x".repeat(100)}, {"name": "NEW", "value": "1"}],
        }));
        assert_eq!(difference(&from, &from), Vec::<String>::new());
        assert_eq!(
            difference(&from, &to),
            [
                "spec.containers[orders].env[A].value changes",
                "spec.containers[orders].env[GONE] goes",
                "spec.containers[orders].env[NEW] comes",
                "spec.containers[orders].image from a:1 to a:2",
            ]
        );
    }

    #[test]
    fn of_many_only_the_number_is_told() {
        let env: Vec<_> = (0..20)
            .map(|n| json!({"name": format!("N{n:02}"), "value": "1"}))
            .collect();
        let from = template(json!({"name": "orders", "env": []}));
        let to = template(json!({"name": "orders", "env": env}));
        let told = difference(&from, &to);
        assert_eq!((told.len(), told[8].as_str()), (9, "12 more"));
    }
}
