//! What a Shop may say about the canary of a service.

use kube::{KubeSchema, core::Rule};
use serde::{Deserialize, Serialize};

use super::rollout::bounds;
use crate::connections::MOST_PODS;

/// At most so many of a hundred pods are a canary: those that have proved themselves are never fewer.
pub const MOST_SHARE: i32 = 50;

/// Some new pods beside those that run, before these are replaced.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CanarySpec {
    /// One after the other, each with a greater share. After the last one all pods are replaced.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = rising())]
    pub steps: Vec<CanaryStep>,
}

/// A step of a canary.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStep {
    /// How many of a hundred pods are new, from 1 to 50; one pod at least. They come beside those that run, of which none goes.
    #[schemars(range(min = 1, max = 50))]
    pub share: i32,

    /// How long they must go on well, from "1s" to "24h": a number and s, m or h. Without it the step waits for `shopctl promote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6), regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    #[x_kube(validation = bounds("pause", "1s", "24h"))]
    pub pause: Option<String>,
}

/// Why steps are refused that do not rise.
pub fn shares_that_do_not_rise() -> &'static str {
    "each share must be greater than the one before, for example [{share: 10, pause: 5m}, {share: 50}]"
}

fn rising() -> Rule {
    let is_sorted = "self.map(step, step.share).isSorted()";
    let is_unique = "self.all(step, self.exists_one(other, other.share == step.share))";
    Rule::new(format!("{is_sorted} && {is_unique}")).message(shares_that_do_not_rise())
}

/// A canary comes on top of the pods that run, and all of them share the connections of a database.
pub(super) fn fits_beside() -> Rule {
    let fits = |count: &str| {
        format!("self.canary.steps.all(step, {count} * 100 <= {MOST_PODS} * (100 - step.share))")
    };
    let fixed = format!("(!has(self.replicas) || {})", fits("self.replicas"));
    let most = fits("self.autoscaling.maxReplicas");
    let scaled = format!("(!has(self.autoscaling) || {most})");
    let message = format!(
        "at most {MOST_PODS} pods with those of the canary: lower replicas, maxReplicas or the greatest share"
    );
    Rule::new(format!("!has(self.canary) || ({fixed} && {scaled})")).message(message.as_str())
}
