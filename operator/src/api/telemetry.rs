//! Where traces and logs of a shop go.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::format::{LOG_LEVEL, OTLP_ENDPOINT};

/// Traces and logs of the services.
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
}

/// A collector of traces.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OtlpSpec {
    /// Base URL of OTLP over HTTP, for example `http://collector.observability:4318`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = OTLP_ENDPOINT.rule())]
    pub endpoint: String,
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
}
