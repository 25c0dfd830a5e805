//! The request of `conformance.yaml`, made new each time.

use serde_json::Value;
use uuid::Uuid;

/// What takes the place of `{new}` and `{other}` in a request, and of `{new-uuid}` and `{other-uuid}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    new: Uuid,
    other: Uuid,
}

impl Words {
    /// That were never there before.
    pub(crate) fn fresh() -> Self {
        Self {
            new: Uuid::now_v7(),
            other: Uuid::now_v7(),
        }
    }

    /// Something else is asked for with the same key.
    pub(crate) fn with_other(self) -> Self {
        Self {
            other: Uuid::now_v7(),
            ..self
        }
    }

    /// Whether a text speaks of what was asked for.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        text.contains(&self.new.to_string()) || text.contains(&self.new.simple().to_string())
    }

    pub(crate) fn fill(&self, text: &str) -> String {
        let Self { new, other } = self;
        text.replace("{new}", &new.simple().to_string())
            .replace("{new-uuid}", &new.to_string())
            .replace("{other}", &other.simple().to_string())
            .replace("{other-uuid}", &other.to_string())
    }

    pub(crate) fn fill_in(&self, body: &Value) -> Value {
        match body {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(items) => items.iter().map(|item| self.fill_in(item)).collect(),
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), self.fill_in(field)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_found_again_by_what_was_new_in_it() {
        let words = Words::fresh();
        let body = words.fill_in(&json!({"a": "x-{new}", "b": ["{new-uuid}", "{other}"], "c": 1}));
        assert!(words.are_in(&body["a"].to_string()) && words.are_in(&body["b"][0].to_string()));
        assert!(!words.are_in(&body["b"][1].to_string()));
        let again = words
            .with_other()
            .fill_in(&json!({"a": "x-{new}", "b": "{other}"}));
        assert_eq!(again["a"], body["a"]);
        assert_ne!(again["b"], body["b"][1]);
    }
}
