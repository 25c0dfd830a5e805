//! Where traces and logs of a shop go, and who asks for its metrics.

use std::collections::BTreeMap;

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    format::{LOG_LEVEL, LOGS_LINK, OTLP_ENDPOINT, TRACE_LINK},
    pod_metadata::{keys, label_values, no_reserved_label},
};

/// Traces, logs and metrics of the services.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TelemetrySpec {
    /// Where traces go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpSpec>,
    /// The share of traces that is kept, from "0" to "1". Default: "1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 16),
        regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")
    )]
    pub sampling: Option<String>,
    /// What is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<LogsSpec>,
    /// Who asks for the metrics of this Shop's services. Without it nothing is made, because the chart's `podMonitor` asks for those of all
    /// Shops: with both, each pod would be asked twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsSpec>,
    /// Where people look at a trace and at logs: what `shopctl` and the timeline of an order lead to. A change of it rolls the services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<LinksSpec>,
}

/// A collector of traces.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OtlpSpec {
    /// Base URL of OTLP over HTTP, for example `http://collector.observability:4318`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = OTLP_ENDPOINT.rule())]
    pub endpoint: String,
    /// A key of a Secret that holds headers, for example a login: `key1=value1,key2=value2`. A change of it rolls the services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_from: Option<SecretKeyRef>,
    /// A key of a Secret that holds the certificates (PEM) by which the collector is known, where they are not public ones.
    /// A change of it rolls the services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_from: Option<SecretKeyRef>,
}

/// A key of a Secret in the Shop's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::OBJECT_NAME))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// What is logged.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LogsSpec {
    /// Filter directives, for example `info` or `warn,shop_orders=debug`. Default: info.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = LOG_LEVEL.rule())]
    pub level: Option<String>,
    /// How a line looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

/// How a line of the log looks. Default: Json.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// An object with fields, for programs.
    #[default]
    Json,
    /// A sentence, for people who read along; what searches logs by their fields finds nothing then.
    Text,
}

/// Who asks for metrics.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.monitor != 'Annotations' || (!has(self.interval) && !has(self.labels))")
        .message("interval and labels are of a monitor, and nothing reads them with Annotations: leave them out, or write Auto, PodMonitor or ServiceMonitor")
)]
pub struct MetricsSpec {
    /// What leads Prometheus to the pods.
    pub monitor: Monitor,
    /// How often metrics are asked for, from "1s" to "9999m": a number and s or m. Default: as often as your Prometheus does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), regex(pattern = r"^[1-9][0-9]{0,3}(s|m)$"))]
    pub interval: Option<String>,
    /// Labels of the monitors by which your Prometheus selects them, for example `release: prometheus`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "label_values")]
    #[x_kube(
        validation = keys(),
        validation = no_reserved_label()
    )]
    pub labels: BTreeMap<String, String>,
}

/// What leads Prometheus to the pods. Auto: a PodMonitor for each service where the cluster has that resource of the Prometheus operator, else
/// nothing. PodMonitor: the same, and it is missed where there is none. ServiceMonitor: one for each service, whose Service then has the
/// administration port too. Annotations: `prometheus.io/scrape`, `port` and `path` on the pods, which rolls them. None: nothing.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// A PodMonitor where the cluster has that resource.
    Auto,
    /// A ServiceMonitor for each service.
    ServiceMonitor,
    /// A PodMonitor for each service.
    PodMonitor,
    /// Annotations of the pods.
    Annotations,
    /// Nothing.
    None,
}

impl Monitor {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::ServiceMonitor => "ServiceMonitor",
            Self::PodMonitor => "PodMonitor",
            Self::Annotations => "Annotations",
            Self::None => "None",
        }
    }
}

/// A ServiceMonitor needs the administration port on the Services, and a Service of type NodePort opens each of its ports on every node.
/// For the whole specification.
pub(super) fn no_administration_on_nodes() -> Rule {
    Rule::new(
        "!has(self.telemetry) || !has(self.telemetry.metrics) || self.telemetry.metrics.monitor != 'ServiceMonitor' || \
         !has(self.exposure) || self.exposure.type != 'NodePort'",
    )
    .message("telemetry.metrics.monitor: ServiceMonitor would open the administration ports on every node with exposure.type NodePort: write PodMonitor")
}

/// Addresses of pages. What stands in braces is filled in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LinksSpec {
    /// The page of a trace, for example `https://jaeger.example/trace/{traceId}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024))]
    #[x_kube(validation = TRACE_LINK.rule())]
    pub trace: Option<String>,
    /// The page of the logs of a trace or of an order, with `{traceId}`, `{orderId}` or both, for example
    /// `https://logs.example/select/vmui/#/?query=order_id:={orderId}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024))]
    #[x_kube(validation = LOGS_LINK.rule())]
    pub logs: Option<String>,
}
