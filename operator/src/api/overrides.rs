//! What a Shop may say about single objects of a service where no field of its own says it.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::IntoStaticStr;

/// A patch has at most so many bytes, as JSON: all of a Shop must fit into the 1.5 MiB that the API server stores of an object.
pub const PATCH_BYTES: usize = 16 * 1024;

/// A patch that goes into one object of a service, after all other fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OverrideSpec {
    /// Which object of the service; `Job` is its migration.
    pub kind: OverrideKind,

    /// The fields of the object that are to be otherwise, of at most 16384 bytes as JSON. It is merged as Kubernetes merges strategic patches: field by field, lists by their key, and with `$patch: delete` or `$patch: replace` where something is to go.
    #[schemars(schema_with = "fields")]
    pub patch: Map<String, Value>,
}

/// The objects of a service.
#[derive(Serialize, Deserialize, JsonSchema, IntoStaticStr, Clone, Copy, Debug, PartialEq, Eq)]
#[strum(const_into_str)]
pub enum OverrideKind {
    /// What makes its pods, those of a canary too.
    Deployment,
    /// By what it is reached.
    Service,
    /// Of a service with `autoscaling`.
    HorizontalPodAutoscaler,
    /// Of a service with more than one pod.
    PodDisruptionBudget,
    /// Who may connect to it, and to whom it may.
    NetworkPolicy,
    /// The identity of its pods.
    ServiceAccount,
    /// The migration of its database.
    Job,
}

/// Any fields: which ones there are is not known to the API server here. The operator says what does not belong.
fn fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
