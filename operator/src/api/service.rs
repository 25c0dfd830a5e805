//! What a Shop may say about a single service.

use std::collections::BTreeMap;

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CanarySpec, MOST_SERVICES, OverrideSpec, PauseSpec, ResourcesSpec, SchedulingSpec, canary,
    format::IMAGE,
    pod_metadata::{
        annotation_values, keys, label_values, no_reserved_annotation, no_reserved_label,
    },
    topology,
};
use crate::{
    connections::{MAX_CONNECTIONS, MOST_PODS},
    definition::{Definition, Protocol, built_in},
};

/// What is special about one service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
// An applied entry that loses its last field is null for a moment: with a default it counts as not there.
#[schemars(extend("default" = {}))]
#[x_kube(
    validation = Rule::new("!(has(self.version) && has(self.image))")
        .message("version and image exclude each other: an image names its version itself"),
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("replicas and autoscaling exclude each other: name a count, or bounds for the autoscaler"),
    validation = canary::fits_beside(),
    validation = topology::env_of_definition(),
    validation = Rule::new("!has(self.extracted) || !has(self.definition)")
        .message("extracted is for built-in services: one that brings its definition has pods of its own always"),
    validation = Rule::new("!has(self.protocols) || !has(self.definition)")
        .message("protocols is for built-in services: a definition names the protocol of each of its calls")
)]
pub struct ServiceSpec {
    /// Whether the service is there. Without it its objects go, and its data stay as long as the Shop. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Under `topology: Monolith` this built-in service has pods of its own all the same. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extracted: Option<bool>,

    /// How this built-in service calls others, by their names; what is not named is called as the service's document says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MOST_SERVICES))]
    pub protocols: BTreeMap<String, Protocol>,

    /// The document of a service that is not built in; such a service also needs `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,

    /// The version of this service alone. Default: the version of the Shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")
    )]
    pub version: Option<String>,

    /// The whole image of this service, in place of registry and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = IMAGE.rule())]
    pub image: Option<String>,

    /// How many pods run, from 0 to 94. Without it and without `autoscaling` the operator leaves the count alone: it starts at one, and
    /// `kubectl scale` or an autoscaler of your own decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    #[x_kube(validation = most_pods())]
    pub replicas: Option<i32>,

    /// Bounds for a HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,

    /// Requests and limits of each pod. What is not named keeps the default: requests of 20m (with `autoscaling` 100m) and 32Mi, a limit of 256Mi. A default gives way to what is named: it is never a request above the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,

    /// On which nodes the pods run, those of the migration too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<SchedulingSpec>,

    /// Further labels of the pods, those of the migration too. Keys that the operator or Kubernetes sets are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "label_values")]
    #[x_kube(
        validation = keys(),
        validation = no_reserved_label()
    )]
    pub pod_labels: BTreeMap<String, String>,

    /// Further annotations of the pods, those of the migration too. Keys that the operator sets are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotation_values")]
    #[x_kube(
        validation = keys(),
        validation = no_reserved_annotation()
    )]
    pub pod_annotations: BTreeMap<String, String>,

    /// While it lasts, no new release of this service begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseSpec>,

    /// Its releases begin with some new pods beside those that run, in steps. Default: without. A service in the pods of a host has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySpec>,

    /// What becomes of what somebody else changes on its objects. Default: Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_policy: Option<DriftPolicy>,

    /// The Job that migrates the database before pods of a new image start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationSpec>,

    /// Further environment of the service. Names that the operator sets itself are refused, but for `LOG`, `LOG_FORMAT`, `TRACE_LINK`, `LOGS_LINK`, `ADMIN_EMAIL`, `DATABASE_MAX_CONNECTIONS` and the `OTEL_` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvSpec>,

    /// Its pods may look after the Shop: they get a token for the API server, which may do what a Role of yours says and nothing without one,
    /// and the ways to the administration ports of all services of the Shop and to the ports of the API server (443 and 6443), whose address
    /// is not known: to any address. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operates: Option<bool>,

    /// The last resort: patches of single objects, one for each kind, that go in after everything else. See docs/overrides.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into()]))]
    pub overrides: Vec<OverrideSpec>,
}

/// What becomes of a field of a service's Deployment, Service, budget or autoscaler that somebody else changes. Enforce (default): it goes back to
/// what the Shop asks for, and an event says who had changed what. Report: it stays until the object is rendered anew, by a release for
/// example, and `status.services[].drift` lists it; labels, annotations, selectors, what pods may do, which Secrets they read, the type of the
/// Service, the bounds of the autoscaler and `maxSurge` go back all the same.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriftPolicy {
    /// It goes back to what the Shop asks for, and an event says who had changed what.
    #[default]
    Enforce,
    /// It stays until the object is rendered anew, by a release for example, and `status.services[].drift` lists it.
    Report,
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
    #[schemars(range(min = 1))]
    pub min_replicas: Option<i32>,

    /// At most this many pods, up to 94.
    #[schemars(range(min = 1))]
    #[x_kube(validation = most_pods())]
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

fn most_pods() -> Rule {
    let message = format!(
        "at most {MOST_PODS} pods: the database of a service takes {MAX_CONNECTIONS} connections, and each pod needs 2"
    );
    Rule::new(format!("self <= {MOST_PODS}")).message(message.as_str())
}

fn not_reserved() -> Rule {
    let names: Vec<_> = built_in::reserved()
        .map(|name| format!("'{name}'"))
        .collect();
    Rule::new(format!("!(self in [{}])", names.join(", "))).message(
        "this name is set by the operator from other fields of the Shop and cannot be set here",
    )
}

/// The Job that migrates a database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MigrationSpec {
    /// Requests and limits of its pod. What is not named keeps the default: requests of 20m and 32Mi, a limit of 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,

    /// How long it may take, from "10s" to "168h": a number and s, m or h. Then it is ended and counts as failed. Default: "1h".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 7), regex(pattern = r"^[1-9][0-9]{0,5}(s|m|h)$"))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,5}(s|m|h)$') && duration(self) >= duration('10s') && duration(self) <= duration('168h')")
        .message("deadline must be from 10s to 168h: a whole number and s, m or h, for example 90s, 30m or 2h"))]
    pub deadline: Option<String>,
}

/// One environment variable.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnvSpec {
    /// The name.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Z_][A-Z0-9_]*$"))]
    #[x_kube(validation = not_reserved())]
    pub name: String,
    /// The value.
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new(r"!self.matches(r'\x00')").message("an environment cannot hold a NUL character"))]
    pub value: String,
}
