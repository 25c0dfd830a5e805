//! How a shop is reached from outside the cluster.

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
