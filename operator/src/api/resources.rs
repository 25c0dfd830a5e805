//! CPU and memory of a pod.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Requests and limits of a pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.requests) && has(self.requests.cpu) && has(self.limits) && has(self.limits.cpu)) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0")
        .message("the request of cpu must not be greater than its limit"),
    validation = Rule::new("!(has(self.requests) && has(self.requests.memory) && has(self.limits) && has(self.limits.memory)) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0")
        .message("the request of memory must not be greater than its limit"),
    validation = Rule::new("!(has(self.limits) && has(self.limits.memory)) || quantity(self.limits.memory).compareTo(quantity('16Mi')) >= 0")
        .message("limits.memory must be at least 16Mi: with much less the node cannot even make the pod's sandbox")
)]
pub struct ResourcesSpec {
    /// What the pod is sure to get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<AmountsSpec>,
    /// What the pod never exceeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<AmountsSpec>,
}

/// Amounts of CPU and memory.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AmountsSpec {
    /// CPU: cores ("0.5") or thousandths of a core ("500m"), from 1m to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 16),
        regex(pattern = r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$")
    )]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1m')) >= 0 && quantity(self).compareTo(quantity('1024')) <= 0")
        .message("cpu must be from 1m to 1024 cores: 0 would be no limit at all, and no node has more"))]
    pub cpu: Option<String>,
    /// Memory: "64Mi", "1Gi", from 1Mi to 32768Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(Ki|Mi|Gi)$"))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1Mi')) >= 0 && quantity(self).compareTo(quantity('32Ti')) <= 0")
        .message("memory must be from 1Mi to 32768Gi: no pod needs less, and no node has more"))]
    pub memory: Option<String>,
}

/// Amounts as Kubernetes writes them: `{"cpu": "20m", "memory": "32Mi"}`.
impl From<&AmountsSpec> for BTreeMap<String, String> {
    fn from(amounts: &AmountsSpec) -> Self {
        [("cpu", &amounts.cpu), ("memory", &amounts.memory)]
            .into_iter()
            .filter_map(|(name, amount)| Some((name.to_owned(), amount.clone()?)))
            .collect()
    }
}
