//! How a shop is reached from outside the cluster.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::MOST_SERVICES;

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
    #[schemars(schema_with = "node_ports")]
    #[x_kube(
        validation = Rule::new("self.all(name, self.exists_one(other, self[other] == self[name]))")
            .message("two services cannot have the same node port")
    )]
    pub node_ports: Option<BTreeMap<String, i32>>,
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

/// A port for each of at most as many services as a Shop may have.
fn node_ports(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MOST_SERVICES,
        "additionalProperties": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
    })
}
