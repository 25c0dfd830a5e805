//! The specification of a Shop with its admission rules. Everything that can be judged without looking at the cluster is
//! judged here, so that a wrong Shop is refused before it is stored.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    EmailSpec, ExposureSpec, MOST_WINDOWS, MaintenanceWindow, OperatorUpdates, PauseSpec,
    ResourcesSpec, RolloutSpec, SchedulingSpec, ServiceSpec, ShopStatus, TelemetrySpec,
    format::{IMAGE, REGISTRY},
    telemetry, topology, windows,
};

/// How many services a Shop may have.
pub const MOST_SERVICES: u32 = 32;

/// A shop: services that belong together, each with a database of its own where it needs one, and one broker.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "shopkeeper.dev",
    version = "v1alpha1",
    kind = "Shop",
    namespaced,
    status = "ShopStatus",
    shortname = "shp",
    derive = "PartialEq",
    doc = "A shop: services that belong together, each with a database of its own where it needs one, and one broker.",
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
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = topology::node_ports(),
    validation = windows::begins_in_some(),
    validation = windows::updates_in_some(),
    validation = telemetry::no_administration_on_nodes()
)]
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

    /// The services by name: what is special about the built-in ones (a built-in service that is not named here runs with the
    /// defaults, but for an optional one, which is there only where it is named: `{}` suffices), and services of your own, each with
    /// its definition and image. At most 32 in all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MOST_SERVICES, "default" = {}))]
    #[x_kube(
        validation = topology::names(),
        validation = topology::number(),
        validation = topology::defined(),
        validation = topology::host(),
        validation = topology::named_as_defined(),
        validation = topology::calls(),
        validation = topology::tokens(),
        validation = topology::protocols(),
        validation = topology::chosen_protocols(),
        validation = topology::no_circle(),
        validation = topology::subscriptions(),
        validation = topology::callers_of_what_is_off(),
        validation = topology::env_of_optional()
    )]
    pub services: BTreeMap<String, ServiceSpec>,

    /// Whether each built-in service has pods of its own, or one process hosts all that are not `extracted`. It may change at any
    /// time: services move one by one, with no request lost. Default: Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,

    /// How new revisions of the services prove themselves, and what becomes of those that do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,

    /// While it lasts, no new release of any service begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseSpec>,

    /// When pods get what a new version of the operator makes of the same Shop. Default: OnRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_updates: Option<OperatorUpdates>,

    /// When releases may begin, for `rollout.begins: InWindow` and `operatorUpdates: Window`. It is enough that one of them is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_WINDOWS))]
    pub maintenance_windows: Vec<MaintenanceWindow>,

    /// The databases: one PostgreSQL for each service that has one.
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

    /// Traces, logs and metrics of the services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetrySpec>,
}

/// How the built-in services are divided among processes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// Each has pods of its own.
    #[default]
    Services,
    /// One process, `monolith`, hosts all that are not `extracted`, with one PostgreSQL for the databases that are made there.
    Monolith,
}

/// Where images come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImagesSpec {
    /// Registry and path before `/<service>:<version>`, for example `ghcr.io/example`. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = REGISTRY.rule())]
    pub registry: Option<String>,

    /// When a node pulls an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,

    /// Names of Secrets in the Shop's namespace that hold logins of registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(length(min = 1, max = 253), regex(pattern = super::OBJECT_NAME))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub pull_secrets: Vec<String>,

    /// The PostgreSQL image. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = IMAGE.rule())]
    pub postgres: Option<String>,

    /// The NATS image. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = IMAGE.rule())]
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

/// The databases: one PostgreSQL for each service that has one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// The volume of each database.
    #[serde(default)]
    pub storage: StorageSpec,

    /// What becomes of volumes and their passwords when the Shop is deleted, and of those of a service that is taken out of it. The broker's
    /// volume follows it too. Those of a service that is switched off (`enabled: false`) stay as long as the Shop.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Requests and limits of each database's pod. What is not named keeps the default: requests of 20m and 48Mi, a limit of 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,

    /// On which nodes the databases run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<SchedulingSpec>,
}

/// What becomes of data when the Shop is deleted, or a service taken out of it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Volumes and database Secrets stay; a Shop, or a service, of the same name takes them up again.
    #[default]
    Retain,
    /// Volumes and Secrets go with the Shop, or with the service.
    Delete,
}

/// The broker.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerSpec {
    /// The volume of the broker.
    #[serde(default)]
    pub storage: StorageSpec,

    /// Requests and limits of the broker's pod. What is not named keeps the default: requests of 20m and 32Mi, a limit of 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,

    /// On which nodes the broker runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<SchedulingSpec>,
}

/// A volume. It may grow, where its StorageClass allows it; it never shrinks, and its class cannot be changed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)")
        .message("className cannot be changed: a volume stays where it was made")
)]
pub struct StorageSpec {
    /// How big each volume is, for example "1Gi", up to 64Ti.
    #[serde(default = "one_gibibyte")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$"))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('64Ti')) <= 0")
            .message("size must be at most 64Ti: no volume is bigger"),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0")
            .message("size may grow and never shrink: a volume cannot be made smaller")
    )]
    pub size: String,

    /// The StorageClass. Default: the cluster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = super::OBJECT_NAME))]
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
