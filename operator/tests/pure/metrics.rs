//! docs/metrics.md and what is exported are one list.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use shop_operator::{
    api::{BlockedBy, BrokerStatus},
    metrics::{Metrics, ShopFigures},
    report::figures,
};

use crate::fixtures::{Scene, plain};

/// Type and labels of a metric.
type Shape = (String, BTreeSet<String>);

/// Metrics of which each has been counted.
fn touched() -> Metrics {
    let metrics = Metrics::default();
    metrics.reconciled("settled", Duration::from_millis(3));
    metrics.failed("forbidden");
    metrics.panicked();
    metrics.timed_out();
    metrics.applied("Deployment", "changed");
    metrics.deleted("Job");
    metrics.drifted("Deployment", "taken_back", 1);
    metrics.watch_failed("Pod");
    metrics.leading(true);
    metrics.shop("a", "demo", troubled());
    metrics
}

fn troubled() -> ShopFigures {
    ShopFigures {
        ready: false,
        reason: "TakenBack".into(),
        serving: true,
        broker_filled: Some(0.9),
        blocked: [("orders".into(), "TakenBack".into())].into(),
    }
}

fn well() -> ShopFigures {
    ShopFigures {
        ready: true,
        reason: "Running".into(),
        serving: true,
        ..ShopFigures::default()
    }
}

/// Names as they are asked for: those of counters have an end that their family does not have.
fn exported(text: &str) -> BTreeMap<String, Shape> {
    let families = text.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let sample = match kind {
            "counter" => format!("{name}_total"),
            "histogram" => format!("{name}_bucket"),
            _ => name.to_owned(),
        };
        let labels = labels_of(text, &sample);
        let name = if kind == "counter" { &sample } else { name };
        Some((name.to_owned(), (kind.to_owned(), labels)))
    });
    families.collect()
}

/// Of the samples of this name; those of a histogram have one that says which bucket it is.
fn labels_of(text: &str, sample: &str) -> BTreeSet<String> {
    let samples = text.lines().filter_map(|line| line.strip_prefix(sample));
    let labels = samples.filter_map(|rest| rest.strip_prefix('{')?.split_once('}'));
    let labels = labels.flat_map(|(labels, _)| labels.split(','));
    let labels = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
    labels.filter(|label| label != "le").collect()
}

/// The rows of the page's list: name with labels, type, meaning.
fn documented() -> BTreeMap<String, Shape> {
    let page = include_str!("../../../docs/metrics.md");
    let (page, _) = page
        .split_once("\n## Those of services")
        .expect("the next list");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let (name, rest) = row.split_once('`').expect("a name");
        let kind = rest.split('|').nth(1).expect("a type").trim();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let labels = labels.trim_end_matches('}').split(',').map(str::trim);
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        (name.to_owned(), (kind.to_owned(), labels.collect()))
    });
    rows.collect()
}

#[test]
fn the_page_has_each_metric_with_its_type_and_labels_and_no_other() {
    assert_eq!(documented(), exported(&touched().render()));
}

#[test]
fn nothing_stays_of_a_shop_that_is_gone() {
    let metrics = Metrics::default();
    let before = metrics.render();
    metrics.shop("a", "demo", troubled());
    metrics.shop("b", "demo", well());
    let told = metrics.render();
    for line in [
        r#"shop_operator_shop_ready{namespace="a",shop="demo",reason="TakenBack"} 0"#,
        r#"shop_operator_shop_serving{namespace="a",shop="demo"} 1"#,
        r#"shop_operator_shop_broker_filled_ratio{namespace="a",shop="demo"} 0.9"#,
        r#"shop_operator_service_blocked{namespace="a",shop="demo",service="orders",reason="TakenBack"} 1"#,
        r#"shop_operator_shop_ready{namespace="b",shop="demo",reason="Running"} 1"#,
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    metrics.shop("a", "demo", well());
    let told = metrics.render();
    assert!(!told.contains(r#"reason="TakenBack""#), "{told}");
    assert!(!told.contains("service_blocked"), "{told}");
    assert!(!told.contains("broker_filled"), "{told}");
    metrics.forget_shop("a", "demo");
    assert!(!metrics.render().contains(r#"namespace="a""#));
    metrics.forget_shop("b", "demo");
    assert_eq!(metrics.render(), before);
}

#[test]
fn the_figures_of_a_shop_are_those_of_its_status() {
    let mut status = Scene::all_well(plain()).report();
    assert_eq!(figures(&status), well());
    status.broker = Some(BrokerStatus { filled_percent: 30 });
    status.services[0].ready = 0;
    (status.conditions[0].status, status.conditions[0].reason) = ("Unknown".into(), "Any".into());
    status.services[1].blocked_by = Some(BlockedBy {
        reason: "MigrationFailed".into(),
        object: "Job demo-orders-migrate".into(),
        since: Time(Timestamp::UNIX_EPOCH),
        next_step: String::new(),
    });
    let service = status.services[1].name.clone();
    let troubled = ShopFigures {
        ready: false,
        reason: "Any".into(),
        serving: false,
        broker_filled: Some(0.3),
        blocked: [(service, "MigrationFailed".into())].into(),
    };
    assert_eq!(figures(&status), troubled);
}

#[test]
fn a_database_that_waits_for_its_turn_or_whose_change_is_refused_serves() {
    let mut status = Scene::all_well(plain()).report();
    for (reason, serves) in [
        ("Queued", true),
        ("MajorVersion", true),
        ("Starting", false),
        ("VolumeDeleted", false),
    ] {
        let databases = status.conditions.iter_mut();
        let mut databases = databases.filter(|condition| condition.type_ == "DatabasesReady");
        let databases = databases.next().expect("it is told");
        (databases.status, databases.reason) = ("False".into(), reason.into());
        assert_eq!(figures(&status).serving, serves, "{reason}");
    }
}
