//! The overrides of a service: patches that were read, and what they are for. Pure.

use serde_json::{Map, Value};

use super::{
    patch_check::{check, shortened},
    place::Place,
    validate::{Replicas, ValidService},
};
use crate::{
    api::{OverrideKind, ServiceSpec},
    config::Overrides,
    definition::Definition,
    naming::names::ServiceName,
};

/// The deepest field of a Kubernetes object lies at less than half of it.
const DEEPEST: usize = 32;

/// A patch of one object of a service, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Which object.
    pub kind: OverrideKind,
    /// The fields that are to be otherwise.
    pub patch: Map<String, Value>,
}

/// Says of each service that has overrides that it must not, where the operator takes none.
pub(super) fn refuse<'a>(
    overrides: Overrides,
    services: impl Iterator<Item = (&'a String, &'a ServiceSpec)>,
    wrong: &mut Vec<String>,
) {
    match overrides {
        Overrides::Allowed => {}
        Overrides::Refused => {
            let with = services.filter(|(_, spec)| !spec.overrides.is_empty());
            wrong.extend(with.map(|(name, _)| {
                format!(
                    "spec.services.{name}.overrides: this operator takes none, because who writes them may do what who makes pods may: take \
                     them out, or have its chart installed with overrides=Allowed"
                )
            }));
        }
    }
}

/// The overrides of a service, as far as they can be read; all that is wrong with them goes to `wrong`. `path` is that of the service.
pub(super) fn read(
    path: &str,
    service: &ServiceName,
    definition: &Definition,
    spec: &ServiceSpec,
    wrong: &mut Vec<String>,
) -> Vec<Override> {
    let mut overrides = Vec::new();
    for (number, of) in spec.overrides.iter().enumerate() {
        let path = format!("{path}.overrides[{number}].patch");
        match parse(&of.patch) {
            Ok(patch) => {
                let read = Override {
                    kind: of.kind,
                    patch,
                };
                check(&path, service, definition, &spec.env, &read, wrong);
                overrides.push(read);
            }
            Err(why) => wrong.push(shortened(format!("{path}: {why}"))),
        }
    }
    overrides
}

fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let options = serde_yaml::options! {
        // An alias may be nested in what it repeats.
        budget: serde_yaml::budget! { max_depth: DEEPEST, max_aliases: 0 },
        // As kubectl reads it: `defaultMode: 0440`.
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let read: Value = serde_yaml::from_str_with_options(text, options).map_err(|error| {
        format!("must be YAML or JSON without aliases, nested at most {DEEPEST} deep: {error}")
    })?;
    match read {
        Value::Object(fields) if !fields.is_empty() => Ok(fields),
        Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => {
            Err("must name fields of the object, for example {spec: {minReadySeconds: 5}}".into())
        }
    }
}

impl ValidService {
    /// What the user has otherwise in the object of this kind.
    pub fn patch_of(&self, kind: OverrideKind) -> Option<&Map<String, Value>> {
        let mut overrides = self.overrides.iter();
        let found = overrides.find(|of| of.kind == kind)?;
        Some(&found.patch)
    }

    /// Why it has no object of this kind; nothing where it has one.
    pub fn lacks(&self, kind: OverrideKind) -> Option<&'static str> {
        match (kind, self.place) {
            (
                OverrideKind::Deployment
                | OverrideKind::PodDisruptionBudget
                | OverrideKind::HorizontalPodAutoscaler,
                Place::Hosted,
            ) => Some("it runs in the pods of the host"),
            (OverrideKind::HorizontalPodAutoscaler, Place::Apart) => match self.replicas {
                Replicas::Autoscaled { .. } => None,
                Replicas::Unmanaged | Replicas::Fixed(_) => Some("it has no autoscaling"),
            },
            (OverrideKind::PodDisruptionBudget, Place::Apart) if matches!(self.replicas, Replicas::Fixed(count) if count < 2) => {
                Some("it has one pod at most")
            }
            (OverrideKind::Service, _) if self.hosts => {
                Some("it is reached by those that it hosts")
            }
            (OverrideKind::Job, _) if self.definition.database.is_none() => {
                Some("it has no database")
            }
            (
                OverrideKind::Deployment
                | OverrideKind::Service
                | OverrideKind::PodDisruptionBudget
                | OverrideKind::NetworkPolicy
                | OverrideKind::ServiceAccount
                | OverrideKind::Job,
                Place::Hosted | Place::Apart,
            ) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize, open: &str, close: &str) -> String {
        format!("{}1{}", open.repeat(levels), close.repeat(levels))
    }

    #[test]
    fn yaml_and_json_are_read_alike() {
        let expected = json!({"spec": {"template": {"spec": {"runAsUser": {"$patch": "delete"}}}}});
        let json = expected.to_string();
        let yaml = "# Why\nspec:\n  template:\n    spec:\n      runAsUser: {$patch: delete}\n";
        for text in [json.as_str(), yaml] {
            assert_eq!(parse(text).map(Value::Object), Ok(expected.clone()));
        }
        let long = json!({"metadata": {"annotations": {"a": "x".repeat(9000), "b": "y"}}});
        assert_eq!(parse(&long.to_string()).map(Value::Object), Ok(long));
        let mode = parse("spec: {defaultMode: 0440}").expect("fields");
        assert_eq!(mode["spec"]["defaultMode"], 0o440, "as kubectl reads it");
    }

    #[test]
    fn what_is_no_patch_is_told() {
        for text in ["", "# nothing", "null", "{}", "a word", "[1]", "5"] {
            let told = parse(text);
            assert!(told.is_err_and(|why| why.starts_with("must ")), "{text}");
        }
        for text in [
            "spec: {",
            "a: 1\na: 2",
            "a: 1\n---\nb: 2",
            "a: &a {b: 1}\nc: *a",
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.starts_with("must be YAML or JSON"), "{text}: {told}");
            assert!(!told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn depth_has_a_bound_however_it_is_written() {
        for (open, close) in [(r#"{"a":"#, "}"), ("{a: ", "}")] {
            assert!(parse(&nested(DEEPEST, open, close)).is_ok());
            for levels in [DEEPEST + 1, 100, 500, 3000] {
                let told = parse(&nested(levels, open, close)).expect_err("too deep");
                let expected = "must be YAML or JSON without aliases, nested at most 32 deep: ";
                assert!(told.starts_with(expected), "{levels}: {told}");
            }
        }
        let lines = |levels: usize| {
            let line = |level| format!("{}a:\n", " ".repeat(level));
            (0..levels).map(line).collect::<String>() + &" ".repeat(levels) + "b: 1\n"
        };
        assert!(parse(&lines(DEEPEST - 1)).is_ok());
        assert!(parse(&lines(DEEPEST)).is_err());
        let lists = format!("a: {}", nested(DEEPEST, "[", "]"));
        assert!(parse(&lists).is_err());
    }
}
