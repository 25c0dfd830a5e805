//! What a Shop may say about a single service.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The five services by name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServicesSpec {
    /// Accounts, logins, tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<ServiceSpec>,
    /// The catalogue and its full-text search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<ServiceSpec>,
    /// Carts, stock, orders and the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<ServiceSpec>,
    /// Payments, refunds and the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments: Option<ServiceSpec>,
    /// Mails to buyers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<ServiceSpec>,
}

/// What is special about one service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.version) && has(self.image))")
        .message("version and image exclude each other: an image names its version itself"),
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("replicas and autoscaling exclude each other: name a count, or bounds for the autoscaler")
)]
pub struct ServiceSpec {
    /// The version of this service alone. Default: the version of the Shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")
    )]
    pub version: Option<String>,

    /// The whole image of this service, in place of registry and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-z0-9][A-Za-z0-9._:/@-]*$")
    )]
    pub image: Option<String>,

    /// How many pods run. Without it and without `autoscaling` the operator leaves the count alone: it starts at one, and
    /// `kubectl scale` or an autoscaler of your own decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,

    /// Bounds for a HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,

    /// Requests and limits of each pod. What is not named keeps the default: requests of 20m and 32Mi, a limit of 256Mi. A default gives way to what is named: it is never a request above the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,

    /// Further environment of the service. Names that the operator sets itself are refused, but for `LOG`, `ADMIN_EMAIL` and the `OTEL_` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvSpec>,
}

/// Bounds for a HorizontalPodAutoscaler.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas")
        .message("minReplicas must not be greater than maxReplicas")
)]
pub struct AutoscalingSpec {
    /// At least this many pods. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: Option<i32>,

    /// At most this many pods.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,

    /// The CPU use that the autoscaler aims at, in percent of what a pod requests. Default: 80.
    #[serde(
        default,
        rename = "targetCPUUtilization",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization: Option<i32>,
}

/// Requests and limits of a pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.requests) && has(self.requests.cpu) && has(self.limits) && has(self.limits.cpu)) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0")
        .message("the request of cpu must not be greater than its limit"),
    validation = Rule::new("!(has(self.requests) && has(self.requests.memory) && has(self.limits) && has(self.limits.memory)) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0")
        .message("the request of memory must not be greater than its limit")
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
    /// CPU: cores ("0.5") or thousandths of a core ("500m").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 16),
        regex(pattern = r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$")
    )]
    pub cpu: Option<String>,
    /// Memory: "64Mi", "1Gi".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(Ki|Mi|Gi)$"))]
    pub memory: Option<String>,
}

/// One environment variable.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnvSpec {
    /// The name.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Z_][A-Z0-9_]*$"))]
    #[x_kube(validation = Rule::new(crate::catalogue::RESERVED_ENV_RULE).message(crate::catalogue::RESERVED_ENV_MESSAGE))]
    pub name: String,
    /// The value.
    #[schemars(length(max = 4096))]
    pub value: String,
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
