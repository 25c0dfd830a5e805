//! What the API server answers, as far as the pages show it. A field that is not there counts as empty: a Shop says little of itself at
//! first, and an operator of another version may say less.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use super::Pod;

/// Where the API of a service is and its administration, unless its definition says otherwise. In pods that host several, the one is as
/// far from the other.
const USUAL: Ports = Ports {
    http: 8080,
    admin: 9090,
};

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
}

/// A Shop.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Shop {
    pub(super) spec: ShopSpec,
    pub(super) status: ShopStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ShopSpec {
    pub(super) version: String,
    services: BTreeMap<String, ServiceSpec>,
    pub(super) telemetry: Telemetry,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Telemetry {
    pub(super) links: Links,
}

/// Addresses of pages, with what is filled in for one trace or one order in braces.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Links {
    pub(super) trace: Option<String>,
    pub(super) logs: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    definition: Option<Definition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Definition {
    ports: Ports,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(default)]
struct Ports {
    http: u16,
    admin: u16,
}

impl Default for Ports {
    fn default() -> Self {
        USUAL
    }
}

impl Shop {
    /// Where the administration of a service is whose API is at this port.
    fn administration(&self, service: &str, http: u16) -> u16 {
        let spec = self.spec.services.get(service);
        let definition = spec.and_then(|spec| spec.definition.as_ref());
        let ports = definition.map_or(USUAL, |definition| definition.ports);
        match http == ports.http {
            true => ports.admin,
            false => http.saturating_add(USUAL.admin - USUAL.http),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ShopStatus {
    pub(super) version: Option<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) broker: Option<BrokerStatus>,
    pub(super) services: Vec<ServiceStatus>,
    pub(super) release: Option<ShopRelease>,
    pub(super) releases: Vec<Release>,
}

#[derive(Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) name: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BrokerStatus {
    pub(super) filled_percent: i32,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) image: String,
    pub(super) phase: String,
    pub(super) ready: i32,
    pub(super) desired: i32,
    pub(super) message: String,
    pub(super) host: Option<String>,
}

/// The release of the whole shop.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ShopRelease {
    pub(super) version: String,
    pub(super) stage: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) began: Option<OffsetDateTime>,
    pub(super) service: Option<String>,
    pub(super) cause: Option<String>,
}

/// That of one service.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Release {
    pub(super) name: String,
    pub(super) stage: String,
    pub(super) cause: Option<String>,
    pub(super) held: Option<Held>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Held {
    pub(super) message: String,
}

/// Where the pods of a Service are.
#[derive(Deserialize)]
pub(super) struct EndpointSlice {
    metadata: Metadata,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Endpoint {
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Default, Deserialize)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct Port {
    name: Option<String>,
    port: Option<u16>,
}

impl EndpointSlice {
    /// Those that are ready.
    pub(super) fn pods(&self, shop: &Shop) -> Vec<Pod> {
        let service = self.metadata.labels.get("app.kubernetes.io/name");
        let mut ports = self.ports.iter().flatten();
        let http = ports.find(|port| port.name.as_deref() == Some("http"));
        let http = http.and_then(|http| http.port);
        let (Some(service), Some(http)) = (service, http) else {
            return Vec::new();
        };
        let port = shop.administration(service, http);
        let ready = self.endpoints.iter().flatten();
        // Unknown counts as ready (Kubernetes, "EndpointSlice").
        let ready = ready.filter(|endpoint| endpoint.conditions.ready != Some(false));
        let addresses = ready.filter_map(|endpoint| endpoint.addresses.first());
        let pods = addresses.map(|address| Pod {
            service: service.clone(),
            administration: match address.contains(':') {
                true => format!("[{address}]:{port}"),
                false => format!("{address}:{port}"),
            },
        });
        pods.collect()
    }
}

/// A HorizontalPodAutoscaler.
#[derive(Deserialize)]
pub(super) struct Autoscaler {
    metadata: Metadata,
    #[serde(default)]
    pub(super) spec: AutoscalerSpec,
    #[serde(default)]
    status: AutoscalerStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AutoscalerSpec {
    pub(super) min_replicas: i32,
    pub(super) max_replicas: i32,
    metrics: Vec<Metric>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AutoscalerStatus {
    current_metrics: Option<Vec<Metric>>,
}

#[derive(Deserialize)]
struct Metric {
    resource: Option<ResourceMetric>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourceMetric {
    name: String,
    target: Utilization,
    current: Utilization,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Utilization {
    average_utilization: Option<i32>,
}

impl Autoscaler {
    pub(super) fn service(&self) -> Option<&String> {
        self.metadata.labels.get("app.kubernetes.io/name")
    }

    /// The CPU that it aims at, in percent of what a pod requests.
    pub(super) fn target(&self) -> Option<i32> {
        cpu(&self.spec.metrics)?.target.average_utilization
    }

    /// That of now; none where nobody has measured it.
    pub(super) fn current(&self) -> Option<i32> {
        cpu(self.status.current_metrics.as_ref()?)?
            .current
            .average_utilization
    }
}

fn cpu(metrics: &[Metric]) -> Option<&ResourceMetric> {
    let mut resources = metrics.iter().filter_map(|metric| metric.resource.as_ref());
    resources.find(|resource| resource.name == "cpu")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_are_ready_have_their_administration_beside_their_api() {
        let slice = |port: u16| -> EndpointSlice {
            let slice = json!({
                "metadata": {"labels": {"app.kubernetes.io/name": "orders"}},
                "endpoints": [
                    {"addresses": ["10.0.0.7"], "conditions": {"ready": true}},
                    {"addresses": ["10.0.0.8"], "conditions": {"ready": false}},
                    {"addresses": ["fd00::9"], "conditions": {}},
                ],
                "ports": [{"name": "grpc", "port": 8081}, {"name": "http", "port": port}],
            });
            serde_json::from_value(slice).unwrap()
        };
        let plain = Shop::default();
        let at = |port, shop: &Shop| -> Vec<_> {
            let pods = slice(port).pods(shop).into_iter();
            assert!(pods.clone().all(|pod| pod.service == "orders"));
            pods.map(|pod| pod.administration).collect()
        };
        assert_eq!(at(8080, &plain), ["10.0.0.7:9090", "[fd00::9]:9090"]);
        assert_eq!(at(8083, &plain)[0], "10.0.0.7:9093", "in a host's pod");
        assert_eq!(at(65_000, &plain)[0], "10.0.0.7:65535", "no panic");
        let ports =
            json!({"spec": {"services": {"orders": {"definition": {"ports": {"admin": 8081}}}}}});
        let other = serde_json::from_value(ports).unwrap();
        assert_eq!(at(8080, &other)[0], "10.0.0.7:8081");
    }

    #[test]
    fn an_autoscaler_that_has_not_measured_says_what_it_aims_at() {
        let scaler = |status: serde_json::Value| -> Autoscaler {
            let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
            let scaler = json!({
                "metadata": {"labels": {"app.kubernetes.io/name": "search"}},
                "spec": {"minReplicas": 1, "maxReplicas": 4, "metrics": [metric]},
                "status": status,
            });
            serde_json::from_value(scaler).unwrap()
        };
        let measured = json!({"currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}]});
        assert_eq!(scaler(measured).current(), Some(12));
        for status in [json!({}), json!({"currentMetrics": null})] {
            let unknown = scaler(status);
            assert_eq!((unknown.current(), unknown.target()), (None, Some(80)));
        }
    }

    #[test]
    fn a_shop_that_says_nothing_yet_is_read() {
        let shop: Shop = serde_json::from_value(json!({"spec": {"version": "1"}})).unwrap();
        assert_eq!(shop.spec.version, "1");
        assert!(shop.status.services.is_empty());
    }
}
