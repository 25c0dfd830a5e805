//! What a Shop may say about how its releases go.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a new revision of a service proves itself, and what becomes of one that does not.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// What becomes of a service whose new pods crash, do not get ready in time, or do not stay so. Default: Revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,

    /// How long all pods of a new revision must go on without a restart before it counts as good, from "1s" to "24h": a number and s, m or
    /// h. Default: "30s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6), regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    #[x_kube(validation = bounds("gate", "1s", "24h"))]
    pub gate: Option<String>,

    /// How long a rollout may go without getting another pod ready, from "10s" to "24h". Then it has failed. Default: "5m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6), regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    #[x_kube(validation = bounds("deadline", "10s", "24h"))]
    pub deadline: Option<String>,
}

/// What becomes of a service whose new pods crash, do not get ready in time, or do not stay so. Default: Revert.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It stays as it is: old pods serve beside new ones that do not.
    Stop,
    /// The last good revision comes back. The Shop stays as written, and what failed is not tried again before somebody changes it.
    #[default]
    Revert,
}

fn bounds(field: &str, least: &str, most: &str) -> Rule {
    let rule = format!(
        "self.matches('^[1-9][0-9]{{0,4}}(s|m|h)$') && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    );
    let message = format!(
        "{field} must be from {least} to {most}: a whole number and s, m or h, for example 90s, 30m or 2h"
    );
    Rule::new(rule).message(message.as_str())
}
