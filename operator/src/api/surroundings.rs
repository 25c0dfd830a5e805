//! What a Shop may say about the world around it: how it is reached, how mail leaves it, where traces and logs go.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the services are reached from outside the cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.type == 'NodePort') == has(self.nodePorts)")
        .message("nodePorts belong to type NodePort, and type NodePort needs them: name the services that are to be reached")
)]
pub struct ExposureSpec {
    /// ClusterIP: inside the cluster only. NodePort: the services named in `nodePorts` on a fixed port of every node.
    #[serde(rename = "type")]
    pub type_: ExposureType,

    /// The node port of each service that is to be reached from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_ports: Option<NodePortsSpec>,
}

/// How the services are reached.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExposureType {
    /// Inside the cluster only.
    #[default]
    ClusterIP,
    /// On a fixed port of every node.
    NodePort,
}

/// Compares every port with every other; negative numbers stand for those that are not named.
const DISTINCT_NODE_PORTS: &str = "[[has(self.users) ? self.users : -1, has(self.search) ? self.search : -2, \
    has(self.orders) ? self.orders : -3, has(self.payments) ? self.payments : -4, has(self.email) ? self.email : -5]]\
    .all(ports, ports.all(port, ports.exists_one(other, other == port)))";

/// Node ports by service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(DISTINCT_NODE_PORTS)
        .message("two services cannot have the same node port")
)]
pub struct NodePortsSpec {
    /// Port of users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub users: Option<i32>,
    /// Port of search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub search: Option<i32>,
    /// Port of orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub orders: Option<i32>,
    /// Port of payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub payments: Option<i32>,
    /// Port of email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub email: Option<i32>,
}

/// How e-mail leaves the shop.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EmailSpec {
    /// The sender, for example `Demo <shop@example.com>`.
    #[schemars(length(min = 3, max = 320))]
    pub from: String,

    /// The mail server. Without it mails are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SmtpSpec>,
}

/// A mail server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.credentialsFrom) && has(self.tls) && self.tls == 'None')")
        .message("tls None would send the password of credentialsFrom unencrypted: say StartTls or Tls, or leave credentialsFrom out")
)]
pub struct SmtpSpec {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port. Default: 587, with `tls: Tls` 465, with `tls: None` 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SmtpTls>,
    /// A Secret with the keys `username` and `password`. Without it mail is handed over without a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_from: Option<SecretRef>,
}

impl SmtpSpec {
    /// How the connection is encrypted, where the Shop does not say.
    pub fn tls(&self) -> SmtpTls {
        self.tls.unwrap_or(SmtpTls::StartTls)
    }

    /// The port, by default the one that is usual for the encryption (RFC 8314, RFC 5321).
    pub fn port(&self) -> i32 {
        self.port.unwrap_or(match self.tls() {
            SmtpTls::None => 25,
            SmtpTls::StartTls => 587,
            SmtpTls::Tls => 465,
        })
    }
}

/// How a connection to a mail server is encrypted. Default: StartTls.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// After the greeting; required.
    StartTls,
    /// From the first byte.
    Tls,
}

impl SmtpTls {
    /// The word the email service understands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::StartTls => "StartTls",
            Self::Tls => "Tls",
        }
    }
}

/// A Secret in the Shop's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::OBJECT_NAME))]
    pub name: String,
}

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
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^/]+.*$"))]
    pub endpoint: String,
}

/// What is logged.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LogsSpec {
    /// Filter directives, for example `info` or `warn,shop_orders=debug`. Default: info.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub level: Option<String>,
}
