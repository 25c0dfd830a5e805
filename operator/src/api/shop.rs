//! The specification of a Shop with its admission rules. Everything that can be judged without looking at the cluster is
//! judged here, so that a wrong Shop is refused before it is stored.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ShopStatus;

/// A shop of five services (users, search, orders, payments, email), each with its own database, and one broker.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "shopkeeper.dev",
    version = "v1alpha1",
    kind = "Shop",
    namespaced,
    status = "ShopStatus",
    shortname = "shp",
    category = "all",
    derive = "PartialEq",
    doc = "A shop of five services (users, search, orders, payments, email), each with its own database, and one broker.",
    validation = Rule::new("self.metadata.name.size() <= 30")
        .message("metadata.name: at most 30 characters, because the names of all its objects begin with it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: lower-case letters, digits and '-', beginning with a letter"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Services", type_ = "string", json_path = ".status.servicesReady"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct ShopSpec {
    /// The release: the version of every service that names none of its own.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")
    )]
    pub version: String,

    /// Where images come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesSpec>,

    /// What is special about single services. A service that is not named here runs with the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<ServicesSpec>,

    /// The databases: one PostgreSQL for each service.
    #[serde(default)]
    pub database: DatabaseSpec,

    /// The broker: one NATS server with JetStream for the shop.
    #[serde(default)]
    pub broker: BrokerSpec,

    /// How the services are reached from outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<ExposureSpec>,

    /// How e-mail leaves the shop. Without it mails are kept and can be read through the API of the email service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailSpec>,

    /// Traces and logs of the services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetrySpec>,
}

/// Where images come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImagesSpec {
    /// Registry and path before `/<service>:<version>`, for example `ghcr.io/example`. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[a-z0-9]([A-Za-z0-9._:/-]*[a-z0-9])?$")
    )]
    pub registry: Option<String>,

    /// When a node pulls an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,

    /// Names of Secrets in the Shop's namespace that hold logins of registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub pull_secrets: Vec<String>,

    /// The PostgreSQL image. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-z0-9][A-Za-z0-9._:/@-]*$")
    )]
    pub postgres: Option<String>,

    /// The NATS image. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-z0-9][A-Za-z0-9._:/@-]*$")
    )]
    pub nats: Option<String>,
}

/// When a node pulls an image. Default: IfNotPresent.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// At every start of a container.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the image must be on the node.
    Never,
}

impl PullPolicy {
    /// The word Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

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

    /// Requests and limits of each pod. What is not named keeps the default: requests of 20m and 32Mi, a limit of 256Mi.
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

/// The databases: one PostgreSQL for each service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// The volume of each database.
    #[serde(default)]
    pub storage: StorageSpec,

    /// What becomes of volumes and their passwords when the Shop is deleted. The broker's volume follows it too.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What becomes of data when the Shop is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Volumes and database Secrets stay; a Shop of the same name takes them up again.
    #[default]
    Retain,
    /// Volumes and Secrets go with the Shop.
    Delete,
}

/// The broker.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerSpec {
    /// The volume of the broker.
    #[serde(default)]
    pub storage: StorageSpec,
}

/// A volume. Neither size nor class can be changed later.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)")
        .message("className cannot be changed: a volume stays where it was made")
)]
pub struct StorageSpec {
    /// How big each volume is, for example "1Gi".
    #[serde(default = "one_gibibyte")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("size cannot be changed: a volume keeps the size it was made with"))]
    pub size: String,

    /// The StorageClass. Default: the cluster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

fn one_gibibyte() -> String {
    "1Gi".into()
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self {
            size: one_gibibyte(),
            class_name: None,
        }
    }
}

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

/// Node ports by service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
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
pub struct SmtpSpec {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port. Default: 587.
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
    #[schemars(length(min = 1, max = 253))]
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

/// Amounts as Kubernetes writes them: `{"cpu": "20m", "memory": "32Mi"}`.
impl From<&AmountsSpec> for BTreeMap<String, String> {
    fn from(amounts: &AmountsSpec) -> Self {
        [("cpu", &amounts.cpu), ("memory", &amounts.memory)]
            .into_iter()
            .filter_map(|(name, amount)| Some((name.to_owned(), amount.clone()?)))
            .collect()
    }
}
