//! What a Shop may say about how its releases go.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MOST_SERVICES;

/// How a new revision of a service proves itself, and what becomes of one that does not.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// What becomes of a service whose new pods crash, do not get ready in time or do not stay so, or answer worse. Default: Revert.
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

    /// In which order a change of `version` reaches the services: those of a wave begin when all of the waves before have proved
    /// themselves. What is not named comes after that. Default: who is called comes before who calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MOST_SERVICES),
        inner(length(min = 1, max = MOST_SERVICES), inner(length(min = 1, max = 15)))
    )]
    pub waves: Vec<Vec<String>>,

    /// What new pods are judged by. Default: Answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_by: Option<JudgedBy>,

    /// When a release may begin that the Shop asks for. One that has begun goes on to its end, and nothing keeps one that fails from going
    /// back. Default: Anytime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<Begins>,
}

/// What the pods of a new revision are judged by, until it counts as good. Default: Answers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JudgedBy {
    /// What they answer, beside what the pods before answered: errors, and how long it takes. And all that Pods looks at.
    #[default]
    Answers,
    /// Whether they get ready, stay so, and do not end.
    Pods,
}

/// When a release may begin. Default: Anytime.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begins {
    /// As soon as the Shop asks for it.
    #[default]
    Anytime,
    /// While one of `maintenanceWindows` is open. What the Shop asks for before waits for the next one.
    InWindow,
}

/// No new release begins. One that is under way goes on to its end.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PauseSpec {
    /// Why, for those who wonder.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,

    /// When it ends by itself. Without it, it lasts until it is taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// When pods get what a new version of the operator makes of the same Shop. Default: OnRelease.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperatorUpdates {
    /// With the next release of their service. Until then the condition `UpdateAvailable` says what it is.
    #[default]
    OnRelease,
    /// At once, as a release of its own.
    Immediately,
    /// While one of `maintenanceWindows` is open, as a release of its own, or with the next release of their service before.
    Window,
}

/// What becomes of a service whose new pods crash, do not get ready in time or do not stay so, or answer worse. Default: Revert.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It stays as it is: old pods serve beside new ones that do not get ready. New ones that are ready and answer badly take their place.
    Stop,
    /// The last good revision comes back. The Shop stays as written, and what failed is not tried again before somebody changes it.
    #[default]
    Revert,
}

pub(super) fn bounds(field: &str, least: &str, most: &str) -> Rule {
    let rule = format!(
        "self.matches('^[1-9][0-9]{{0,4}}(s|m|h)$') && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    );
    let message = format!(
        "{field} must be from {least} to {most}: a whole number and s, m or h, for example 90s, 30m or 2h"
    );
    Rule::new(rule).message(message.as_str())
}
