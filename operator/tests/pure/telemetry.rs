//! What pods are told of traces, logs and metrics, and who is led to them.

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec};
use serde_json::{Value, json};
use shop_operator::{
    api::Phase,
    apply::refusals::Failure,
    cluster::Standing,
    error::Error,
    facts::{
        monitors::{MonitorKinds, Monitoring},
        observe::{Found, Observed, Purpose, UserSecret},
    },
    model::validate::{ValidShop, validate},
    naming::labels::Part,
    objects::{
        resources::{Rendered, Resources},
        weakened::weakened,
    },
};

use crate::{
    fixtures::{self, ORDERS, Scene, config, migrated, render_all, render_for, valid},
    report::{assert_condition, service},
};

fn with(telemetry: Value) -> ValidShop {
    valid(json!({"version": "1.2.3", "telemetry": telemetry}))
}

fn template(resources: &Resources<Rendered>, service: &str) -> PodTemplateSpec {
    let name = format!("corner-{service}");
    let mut deployments = resources.deployments.iter();
    let deployment = deployments.find(|live| live.metadata.name.as_ref() == Some(&name));
    let spec = deployment.and_then(|live| live.spec.clone());
    spec.expect("a Deployment").template
}

fn pod(shop: &ValidShop, service: &str) -> PodSpec {
    template(&render_all(shop), service).spec.expect("a pod")
}

fn container(shop: &ValidShop, service: &str) -> Container {
    pod(shop, service).containers.remove(0)
}

fn variable(shop: &ValidShop, service: &str, name: &str) -> Option<EnvVar> {
    let env = container(shop, service).env.unwrap_or_default();
    let mut found = env.into_iter().filter(|variable| variable.name == name);
    let first = found.next();
    assert!(found.next().is_none(), "{name} is set twice");
    first
}

fn value(shop: &ValidShop, service: &str, name: &str) -> Option<String> {
    variable(shop, service, name)?.value
}

const COLLECTOR: &str = "https://collector.example";

fn secured() -> Value {
    json!({"otlp": {
        "endpoint": COLLECTOR,
        "headersFrom": {"name": "collector", "key": "headers"},
        "caFrom": {"name": "collector-ca", "key": "root.pem"},
    }})
}

/// The Secrets that [`secured`] names, as found.
fn secrets(headers: Found, ca: Found) -> Vec<UserSecret> {
    let secret = |name: &str, purpose, found| UserSecret {
        name: name.into(),
        purpose,
        found,
    };
    vec![
        secret("collector", Purpose::OtlpHeaders, headers),
        secret("collector-ca", Purpose::OtlpCa, ca),
    ]
}

fn usable(content: &str) -> Found {
    Found::Usable(content.into())
}

#[test]
fn headers_come_from_the_secret_and_certificates_are_mounted_for_reading() {
    let shop = with(secured());
    let headers = variable(&shop, ORDERS, "OTEL_EXPORTER_OTLP_HEADERS");
    let from = json!({"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": {"name": "collector", "key": "headers"}}});
    assert_eq!(json!(headers), from);
    let file = value(&shop, ORDERS, "OTEL_EXPORTER_OTLP_CERTIFICATE");
    assert_eq!(file.as_deref(), Some("/etc/shopkeeper/otlp/ca.crt"));
    let pod = pod(&shop, ORDERS);
    let volume = json!([{"name": "otlp-ca", "secret": {
        "secretName": "collector-ca", "items": [{"key": "root.pem", "path": "ca.crt"}],
    }}]);
    assert_eq!(json!(pod.volumes), volume);
    let mount = json!([{"name": "otlp-ca", "mountPath": "/etc/shopkeeper/otlp", "readOnly": true}]);
    assert_eq!(json!(pod.containers[0].volume_mounts), mount);
    // Nobody is warned of what the Shop itself names.
    assert_eq!(weakened(&shop, &render_all(&shop)), Vec::<String>::new());
}

#[test]
fn another_content_of_either_secret_rolls_the_pods_and_is_no_new_revision() {
    let shop = with(secured());
    let of = |headers: &str, ca: &str| {
        let user_secrets = secrets(usable(headers), usable(ca));
        let observed = Observed {
            user_secrets,
            ..migrated(&shop)
        };
        let template = template(&render_for(&shop, &observed), ORDERS);
        let metadata = template.metadata.expect("metadata");
        let settings =
            metadata.annotations.expect("annotations")["shopkeeper.dev/settings"].clone();
        let revision = metadata.labels.expect("labels")["shopkeeper.dev/revision"].clone();
        (settings, revision)
    };
    let (settings, revision) = of("a", "b");
    for (headers, ca) in [("c", "b"), ("a", "c")] {
        let (other, same) = of(headers, ca);
        assert_ne!(settings, other, "{headers} {ca}");
        assert_eq!(revision, same, "{headers} {ca}");
    }
}

#[test]
fn what_a_service_has_of_its_own_takes_the_place_of_what_the_shop_says() {
    let mut telemetry = secured();
    telemetry["logs"] = json!({"format": "Text"});
    telemetry["links"] = json!({"trace": "https://a.example/{traceId}"});
    let env = json!([
        {"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "a=b"},
        {"name": "OTEL_EXPORTER_OTLP_CERTIFICATE", "value": "/its/own"},
        {"name": "LOG_FORMAT", "value": "json"},
        {"name": "TRACE_LINK", "value": "https://b.example/{traceId}"},
    ]);
    let services = json!({"orders": {"env": env}});
    let shop = valid(json!({"version": "1.2.3", "telemetry": telemetry, "services": services}));
    for (name, own) in [
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/its/own"),
        ("LOG_FORMAT", "json"),
        ("TRACE_LINK", "https://b.example/{traceId}"),
    ] {
        assert_eq!(value(&shop, ORDERS, name).as_deref(), Some(own));
    }
    assert_eq!(pod(&shop, ORDERS).volumes, None, "nobody reads it");
    assert!(pod(&shop, "users").volumes.is_some());

    // It misses nothing either.
    let mut scene = Scene::all_well(shop);
    scene.facts.observed.user_secrets = secrets(Found::Nothing, Found::Nothing);
    let status = scene.report();
    assert_eq!(service(&status, ORDERS).phase, Phase::Running);
    assert_eq!(service(&status, "users").phase, Phase::Failed);
}

#[test]
fn a_secret_of_the_collector_that_is_missing_is_said_of_every_service() {
    let mut scene = Scene::all_well(with(secured()));
    let cases = [
        (
            secrets(Found::Nothing, usable("x")),
            "SecretMissing",
            "Secret collector, named by spec.telemetry.otlp.headersFrom, does not exist",
        ),
        (
            secrets(usable("x"), Found::Incomplete("root.pem".into())),
            "SecretIncomplete",
            "Secret collector-ca, named by spec.telemetry.otlp.caFrom, has no key `root.pem`",
        ),
    ];
    for (user_secrets, reason, message) in cases {
        scene.facts.observed.user_secrets = user_secrets;
        let status = scene.report();
        assert_condition(&status, "Ready", "False", reason, message);
        assert_eq!(status.services_ready.as_deref(), Some("0/5"));
        for service in &status.services {
            let by = service.blocked_by.as_ref().map(|by| by.reason.as_str());
            assert_eq!(by, Some(reason), "{}", service.name);
        }
    }
    scene.facts.observed.user_secrets = secrets(usable("x"), usable("y"));
    assert_condition(
        &scene.report(),
        "Ready",
        "True",
        "Running",
        "all services run",
    );
}

#[test]
fn the_format_of_logs_is_said_only_where_it_is_not_the_usual_one() {
    for logs in [json!({}), json!({"format": "Json"})] {
        assert_eq!(
            value(&with(json!({"logs": logs})), ORDERS, "LOG_FORMAT"),
            None
        );
    }
    let shop = with(json!({"logs": {"format": "Text"}}));
    assert_eq!(value(&shop, ORDERS, "LOG_FORMAT").as_deref(), Some("text"));
    let job = fixtures::job(&shop, ORDERS, json!({}));
    let env = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    let env = json!(env.map(|pod| &pod.containers[0].env));
    let text = json!({"name": "LOG_FORMAT", "value": "text"});
    assert!(
        env.as_array().is_some_and(|env| env.contains(&text)),
        "{env}"
    );
}

#[test]
fn links_are_told_to_the_services() {
    let (trace, logs) = ("https://a.example/{traceId}", "https://b.example/{orderId}");
    let shop = with(json!({"links": {"trace": trace, "logs": logs}}));
    assert_eq!(value(&shop, ORDERS, "TRACE_LINK").as_deref(), Some(trace));
    assert_eq!(value(&shop, ORDERS, "LOGS_LINK").as_deref(), Some(logs));
    let shop = with(json!({"links": {"trace": trace}}));
    assert_eq!(value(&shop, ORDERS, "LOGS_LINK"), None);
}

#[test]
fn of_the_process_of_several_services_telemetry_is_told_once_and_links_to_each() {
    let mut telemetry = secured();
    telemetry["logs"] = json!({"format": "Text"});
    telemetry["links"] = json!({"trace": "https://a.example/{traceId}"});
    let shop = valid(json!({"version": "1.2.3", "topology": "Monolith", "telemetry": telemetry}));
    let host = container(&shop, "monolith");
    let names: Vec<_> = host
        .env
        .iter()
        .flatten()
        .map(|of| of.name.as_str())
        .collect();
    for name in [
        "LOG_FORMAT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "ORDERS__TRACE_LINK",
    ] {
        let of_this = names.iter().filter(|has| **has == name);
        assert_eq!(of_this.count(), 1, "{name}: {names:?}");
    }
    let of_process = |name: &&&str| name.contains("__LOG") || name.contains("__OTEL");
    assert_eq!(names.iter().find(of_process), None);
    let mounts = host.volume_mounts.unwrap_or_default();
    assert_eq!(
        mounts
            .iter()
            .filter(|mount| mount.name == "otlp-ca")
            .count(),
        1
    );
}

#[test]
fn annotations_lead_to_the_administration_port_and_those_of_the_user_stay() {
    let metrics = json!({"metrics": {"monitor": "Annotations"}});
    let services = json!({"orders": {"podAnnotations": {"prometheus.io/path": "/own"}}});
    let shop = valid(json!({"version": "1", "telemetry": metrics, "services": services}));
    let rendered = render_all(&shop);
    let annotations = |service| {
        let metadata = template(&rendered, service).metadata.expect("metadata");
        let mut annotations = metadata.annotations.expect("annotations");
        annotations.retain(|key, _| key.starts_with("prometheus.io/"));
        json!(annotations)
    };
    let usual = |path: &str| json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": path});
    assert_eq!(annotations("users"), usual("/metrics"));
    assert_eq!(annotations(ORDERS), usual("/own"));
    assert!(rendered.pod_monitors.is_empty() && rendered.service_monitors.is_empty());
}

fn served() -> MonitorKinds {
    MonitorKinds {
        pods: Standing::Served,
        services: Standing::Served,
    }
}

fn rendered(shop: &ValidShop, monitors: MonitorKinds) -> Resources<Rendered> {
    let observed = Observed {
        monitors,
        ..migrated(shop)
    };
    render_for(shop, &observed)
}

#[test]
fn a_pod_monitor_leads_to_the_pods_of_a_service_under_the_labels_of_the_charts_own() {
    let metrics =
        json!({"monitor": "Auto", "interval": "15s", "labels": {"release": "prometheus"}});
    let shop = with(json!({"metrics": metrics}));
    let resources = rendered(&shop, served());
    assert_eq!(resources.pod_monitors.len(), 5);
    let is_of_orders = |name: &Option<String>| name.as_deref() == Some("corner-orders");
    let mut monitors = resources.pod_monitors.iter();
    let monitor = monitors.find(|monitor| is_of_orders(&monitor.metadata.name));
    let monitor = json!(monitor);
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(monitor["metadata"]["ownerReferences"][0]["kind"], "Shop");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let selector = json!({
        "matchLabels": {"app.kubernetes.io/instance": "corner", "app.kubernetes.io/name": "orders"},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": ["service", "canary"]}],
    });
    assert_eq!(monitor["spec"]["selector"], selector);
    // As charts/shop-operator/templates/podmonitor.yaml.
    let endpoint = json!({"port": "admin", "path": "/metrics", "interval": "15s", "relabelings": [
        {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"], "targetLabel": "shop"},
        {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "targetLabel": "service"},
    ]});
    assert_eq!(monitor["spec"]["podMetricsEndpoints"], json!([endpoint]));
}

#[test]
fn the_process_of_several_services_is_asked_for_each_at_the_port_of_that() {
    let metrics = json!({"metrics": {"monitor": "PodMonitor"}});
    let spec = json!({"version": "1.2.3", "topology": "Monolith", "telemetry": metrics});
    let resources = rendered(&valid(spec), served());
    let is_of_host = |name: &Option<String>| name.as_deref() == Some("corner-monolith");
    let mut monitors = resources.pod_monitors.iter();
    let host = monitors.find(|monitor| is_of_host(&monitor.metadata.name));
    let endpoints = &host.expect("of the host").spec.pod_metrics_endpoints;
    let mut ports: Vec<_> = endpoints
        .iter()
        .map(|endpoint| {
            let of = |target: &str| {
                let mut labels = endpoint.relabelings.iter();
                let label = labels.find(|label| label.target_label == target);
                label
                    .and_then(|label| label.replacement.clone())
                    .expect(target)
            };
            (of("service"), of("__address__"))
        })
        .collect();
    ports.sort();
    let env = json!(resources.deployments);
    for (service, address) in &ports {
        let port = address.strip_prefix("$1:").expect("a port");
        let name = format!("{}__ADMIN_ADDR", service.to_uppercase());
        let variable = json!({"name": name, "value": format!("0.0.0.0:{port}")}).to_string();
        assert!(env.to_string().contains(&variable), "{variable}");
    }
    assert_eq!(ports.len(), 5);
}

#[test]
fn a_service_monitor_needs_the_port_of_administration_on_the_service_and_nothing_else_does() {
    let with_port = |shop: &ValidShop| {
        let services = rendered(shop, served()).services.into_iter();
        let admin = services.filter(|service| {
            let ports = service
                .spec
                .iter()
                .flat_map(|spec| spec.ports.iter().flatten());
            ports
                .filter(|port| port.name.as_deref() == Some("admin"))
                .count()
                == 1
        });
        admin.count()
    };
    let of = |monitor: &str| with(json!({"metrics": {"monitor": monitor}}));
    let shop = of("ServiceMonitor");
    assert_eq!(with_port(&shop), 5);
    let resources = rendered(&shop, served());
    assert!(resources.pod_monitors.is_empty());
    assert_eq!(resources.service_monitors.len(), 5);
    let monitor = json!(resources.service_monitors[0]);
    let labels = json!([
        {"sourceLabels": ["__meta_kubernetes_service_label_app_kubernetes_io_instance"], "targetLabel": "shop"},
        {"sourceLabels": ["__meta_kubernetes_service_label_app_kubernetes_io_name"], "targetLabel": "service"},
    ]);
    assert_eq!(monitor["spec"]["endpoints"][0]["relabelings"], labels);
    for monitor in ["Auto", "PodMonitor", "Annotations", "None"] {
        assert_eq!(with_port(&of(monitor)), 0, "{monitor}");
    }
}

#[test]
fn where_the_cluster_lacks_the_kind_the_shop_says_so_and_is_ready_all_the_same() {
    for (monitor, kind) in [
        ("Auto", "PodMonitor"),
        ("PodMonitor", "PodMonitor"),
        ("ServiceMonitor", "ServiceMonitor"),
    ] {
        let shop = with(json!({"metrics": {"monitor": monitor}}));
        let resources = rendered(&shop, MonitorKinds::default());
        assert!(resources.pod_monitors.is_empty() && resources.service_monitors.is_empty());
        let mut scene = Scene::all_well(shop);
        let why = format!("this cluster has no {kind} (monitoring.coreos.com/v1)");
        let message = format!(
            "spec.telemetry.metrics.monitor: {monitor} leads nobody to the metrics, because {why}; it is made as soon as that is otherwise, \
             and Annotations or None do without"
        );
        let status = scene.report();
        assert_condition(&status, "Unmonitored", "True", "NoMonitor", &message);
        assert_condition(&status, "Ready", "True", "Running", "all services run");
        scene.facts.observed.monitors = served();
        assert!(is_monitored(&scene));
    }
}

#[test]
fn a_monitor_that_is_refused_is_said_and_holds_up_nothing() {
    let mut scene = Scene::all_well(with(json!({"metrics": {"monitor": "PodMonitor"}})));
    scene.facts.observed.monitors = served();
    let taken = Error::NameTaken {
        kind: "PodMonitor".into(),
        name: "corner-orders".into(),
    };
    let message = taken.to_string();
    scene.fail(Failure {
        part: Part::Service(ORDERS.into()),
        write: "PodMonitor corner-orders".into(),
        error: taken.clone(),
    });
    let status = scene.report();
    assert_condition(&status, "Unmonitored", "True", "NameTaken", &message);
    assert_condition(&status, "Ready", "True", "Running", "all services run");
    assert_eq!(service(&status, ORDERS).phase, Phase::Running);
    // Nor does one of a service that leaves.
    scene.fail(Failure {
        part: Part::Service("gone".into()),
        write: "ServiceMonitor corner-gone is deleted".into(),
        error: taken,
    });
    let status = scene.report();
    assert_condition(&status, "Ready", "True", "Running", "all services run");
}

#[test]
fn monitors_go_only_where_they_can_be_seen_and_made() {
    let of = |monitor: &str| with(json!({"metrics": {"monitor": monitor}}));
    for standing in [Standing::Absent, Standing::Forbidden] {
        let kinds = MonitorKinds {
            services: standing,
            ..served()
        };
        assert!(!kinds.lets_go(&of("None"), kinds.services));
        assert!(kinds.lets_go(&of("None"), kinds.pods));
        assert!(kinds.lets_go(&of("PodMonitor"), kinds.pods));
        // The other kind is not there yet.
        assert!(!kinds.lets_go(&of("ServiceMonitor"), kinds.pods));
    }
    assert!(served().lets_go(&of("ServiceMonitor"), Standing::Served));
}

fn is_monitored(scene: &Scene) -> bool {
    let conditions = scene.report().conditions;
    conditions.iter().all(|it| it.type_ != "Unmonitored")
}

#[test]
fn annotations_of_the_process_of_several_services_lead_nowhere_and_that_is_said() {
    let metrics = json!({"metrics": {"monitor": "Annotations"}});
    let spec = json!({"version": "1.2.3", "topology": "Monolith", "telemetry": metrics});
    let shop = valid(spec);
    let annotations = template(&render_all(&shop), "monolith").metadata;
    let annotations = annotations.and_then(|metadata| metadata.annotations);
    let mut keys = annotations
        .iter()
        .flat_map(|annotations| annotations.keys());
    assert!(!keys.any(|key| key.starts_with("prometheus.io/")));
    // However the cluster changes: nobody need look again.
    for kinds in [MonitorKinds::default(), served()] {
        assert!(matches!(
            Monitoring::of(&shop, kinds),
            Monitoring::Useless(_)
        ));
    }
    assert!(!is_monitored(&Scene::all_well(shop)));
    assert!(is_monitored(&Scene::all_well(with(metrics))));
}

/// A monitor is no part of pods: with it nothing else is asked of them, and no release begins.
#[test]
fn what_does_not_reach_pods_asks_nothing_of_a_service() {
    let asked = |telemetry: Value| {
        let mut spec = json!({"version": "1"});
        if !telemetry.is_null() {
            spec["telemetry"] = telemetry;
        }
        let shop = validate(&fixtures::shop(spec), &config()).expect("a valid Shop");
        shop.services[ORDERS].asked.clone()
    };
    let metrics = |monitor: &str| json!({"metrics": {"monitor": monitor}});
    let without = asked(Value::Null);
    for monitor in ["Auto", "PodMonitor", "ServiceMonitor", "None"] {
        assert_eq!(asked(metrics(monitor)), without, "{monitor}");
    }
    assert_ne!(asked(metrics("Annotations")), without);
    assert_ne!(
        asked(json!({"links": {"trace": "https://a.example/{traceId}"}})),
        without
    );
}
