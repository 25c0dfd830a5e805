//! The monitors of the Prometheus operator (`monitoring.coreos.com/v1`), as far as they are made here. A cluster need not have them.
//! Everything has a default, because what somebody else has written must be readable too.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::kind::Kind;

/// Leads to pods.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PodMonitor",
    namespaced,
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// The pods.
    #[serde(default)]
    pub selector: LabelSelector,
    /// What of them is asked.
    #[serde(default)]
    pub pod_metrics_endpoints: Vec<Endpoint>,
}

/// Leads to the pods behind Services.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    namespaced,
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitorSpec {
    /// The Services.
    #[serde(default)]
    pub selector: LabelSelector,
    /// What of them is asked.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// Where metrics are.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The name of a port.
    #[serde(default)]
    pub port: String,
    /// The path.
    #[serde(default)]
    pub path: String,
    /// How often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// What the figures are labelled with.
    #[serde(default)]
    pub relabelings: Vec<Relabeling>,
}

/// One label of figures.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Relabeling {
    /// What is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// Which part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// The label.
    #[serde(default)]
    pub target_label: String,
    /// Its value, where that is not what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
}

impl Kind for PodMonitor {
    /// It is enough that it is there as applied.
    fn trim(&mut self) {
        self.spec = PodMonitorSpec::default();
    }
}

impl Kind for ServiceMonitor {
    /// It is enough that it is there as applied.
    fn trim(&mut self) {
        self.spec = ServiceMonitorSpec::default();
    }
}
