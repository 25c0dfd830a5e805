//! What a Shop may say about single objects of a service where no field of its own says it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

/// A patch that goes into one object of a service, after all other fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OverrideSpec {
    /// Which object of the service; `Job` is its migration.
    pub kind: OverrideKind,

    /// The fields of the object that are to be otherwise, as a text in YAML or JSON. It is merged as Kubernetes merges strategic patches: field by field, lists by their key, and with `$patch: delete` or `$patch: replace` where something is to go.
    // A text, because fields that the schema does not know may be nested so deeply that no Shop of the cluster can be read any more.
    #[schemars(length(min = 1, max = 16384))]
    pub patch: String,
}

/// The objects of a service.
#[derive(
    Serialize, Deserialize, JsonSchema, IntoStaticStr, EnumString, Clone, Copy, Debug, PartialEq, Eq,
)]
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
