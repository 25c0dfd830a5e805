//! Who asks for metrics, and what is read from Secrets.

use serde_json::{Value, json};

use super::{refused, shop};

#[test]
fn interval_and_labels_are_of_a_monitor() {
    let with = |metrics: Value| {
        shop(json!({"version": "1", "telemetry": {"metrics": metrics}})).validate_cel()
    };
    let labels = json!({"release": "prometheus"});
    for monitor in ["Auto", "PodMonitor", "ServiceMonitor", "None"] {
        let all = json!({"monitor": monitor, "interval": "15s", "labels": labels});
        assert!(with(all).is_ok(), "{monitor}");
    }
    assert!(with(json!({"monitor": "Annotations"})).is_ok());
    for read_by_nobody in [json!({"interval": "15s"}), json!({"labels": labels})] {
        let mut metrics = read_by_nobody;
        metrics["monitor"] = "Annotations".into();
        let reason = "write Auto, PodMonitor or ServiceMonitor";
        refused(with(metrics), "spec.telemetry.metrics", reason);
    }
    let taken = json!({"monitor": "Auto", "labels": {"app.kubernetes.io/name": "x"}});
    refused(
        with(taken),
        "spec.telemetry.metrics.labels",
        "use a key of your own",
    );
}

#[test]
fn administration_is_not_opened_on_every_node() {
    let with = |monitor: &str, exposure: Value| {
        let telemetry = json!({"metrics": {"monitor": monitor}});
        shop(json!({"version": "1", "telemetry": telemetry, "exposure": exposure})).validate_cel()
    };
    let on_nodes = json!({"type": "NodePort", "nodePorts": {"users": 30081}});
    refused(
        with("ServiceMonitor", on_nodes.clone()),
        "spec",
        "write PodMonitor",
    );
    assert!(with("PodMonitor", on_nodes).is_ok());
    assert!(with("ServiceMonitor", json!({"type": "ClusterIP"})).is_ok());
}
