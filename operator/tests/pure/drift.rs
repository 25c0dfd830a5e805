//! On which objects what somebody changes stays, and what is told of it.

use std::sync::Arc;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::ResourceExt;
use serde_json::{Value, json};
use shop_operator::{
    api::{DriftPolicy, PastRelease, ShopStatus},
    apply::Edited,
    cluster::{Edits, Kind},
    facts::observe::ObservedService,
    model::validate::ValidShop,
    naming::labels::{Component, DRIFT_LABEL, NAME_LABEL, Part, REVISION_LABEL, SERVES_LABEL},
    objects::{
        drift,
        resources::{Rendered, Resources},
        revision::of_deployment,
    },
    progress::{
        decide::{Migration, Renewal, decide, image_of},
        runs::{noted, running},
    },
    release::{Stage, no_canary, noted as noted_of, seen, serves},
    report::{drifted, notices, reverted},
};

use crate::fixtures::{ORDERS, Scene, Seen, facts, job, migrated, plain, pod, render_all, valid};

fn shop(orders: Value) -> ValidShop {
    valid(json!({"version": "1.2.3", "services": {"orders": orders}}))
}

fn reporting() -> ValidShop {
    let scaled = json!({"minReplicas": 2, "maxReplicas": 3});
    shop(json!({"driftPolicy": "Report", "autoscaling": scaled}))
}

fn rendered(shop: &ValidShop, is_released: bool) -> Resources<Rendered> {
    let mut rendered = render_all(shop);
    drift::report(shop, &mut rendered, |_| is_released);
    rendered
}

/// Kinds and names of objects that say that what is changed on them stays.
fn marked(rendered: &Resources<Rendered>) -> Vec<String> {
    fn of<K: Kind>(objects: &[K]) -> impl Iterator<Item = String> {
        let marked = objects
            .iter()
            .filter(|object| object.labels().contains_key(DRIFT_LABEL));
        marked.map(|object| format!("{} {}", K::kind(&()), object.name_any()))
    }
    // No `..`: a kind that is forgotten here must not compile.
    let Resources {
        service_accounts,
        services,
        network_policies,
        secrets,
        stateful_sets,
        deployments,
        jobs,
        disruption_budgets,
        autoscalers,
        pod_monitors,
        service_monitors,
    } = rendered;
    of(service_accounts)
        .chain(of(services))
        .chain(of(network_policies))
        .chain(of(secrets))
        .chain(of(stateful_sets))
        .chain(of(deployments))
        .chain(of(jobs))
        .chain(of(disruption_budgets))
        .chain(of(autoscalers))
        .chain(of(pod_monitors))
        .chain(of(service_monitors))
        .collect()
}

fn deployment(rendered: &Resources<Rendered>) -> &Deployment {
    let mut all = rendered.deployments.iter();
    all.find(|live| live.name_any() == "corner-orders")
        .expect("a Deployment")
}

const BY_HAND: &str = "by.hand/orders:7";

/// `kubectl set image`.
fn set_image(live: &mut Deployment) {
    let spec = live.spec.as_mut().expect("a spec");
    let pod = spec.template.spec.as_mut().expect("a pod");
    pod.containers[0].image = Some(BY_HAND.into());
}

fn with_image(mut pod: Arc<Pod>, image: &str) -> Arc<Pod> {
    let spec = json!({"containers": [{"name": ORDERS, "image": image}]});
    Arc::make_mut(&mut pod).spec = serde_json::from_value(spec).expect("a spec");
    pod
}

fn mark(rendered: &Resources<Rendered>) -> Option<&String> {
    deployment(rendered).labels().get(DRIFT_LABEL)
}

#[test]
fn what_is_changed_stays_on_objects_of_the_service_itself_and_on_no_other() {
    let all = [
        "Service corner-orders",
        "Deployment corner-orders",
        "PodDisruptionBudget corner-orders",
        "HorizontalPodAutoscaler corner-orders",
    ];
    assert_eq!(marked(&rendered(&reporting(), false)), all);
    // A release takes all back, and is judged as what was rendered.
    let released = rendered(&reporting(), true);
    assert_eq!(marked(&released), Vec::<String>::new());
    assert!(noted(deployment(&released)).is_some());
    for orders in [json!({}), json!({"driftPolicy": "Enforce"})] {
        let rendered = rendered(&shop(orders), false);
        assert_eq!(marked(&rendered), Vec::<String>::new());
        assert_eq!(deployment(&rendered).annotations().len(), 1);
        assert_eq!(noted(deployment(&rendered)), None);
    }
}

#[test]
fn another_specification_has_another_mark_and_nothing_else_has() {
    let of = |further: Value| {
        let mut orders = json!({"driftPolicy": "Report"});
        for (key, value) in further.as_object().into_iter().flatten() {
            orders[key] = value.clone();
        }
        mark(&rendered(&shop(orders), false)).cloned()
    };
    let usual = of(json!({}));
    assert!(usual.is_some());
    assert_eq!(usual, of(json!({"pause": {"reason": "a look"}})));
    assert_ne!(usual, of(json!({"version": "2"})));
    assert_ne!(usual, of(json!({"env": [{"name": "A", "value": "1"}]})));
}

#[test]
fn the_policy_is_no_reason_for_a_release() {
    let asked = |orders| shop(orders).services[ORDERS].asked.clone();
    let report = json!({"driftPolicy": "Report"});
    assert_eq!(
        shop(report.clone()).services[ORDERS].drift_policy,
        DriftPolicy::Report
    );
    assert_eq!(asked(json!({})), asked(report.clone()));
    let revision = |orders| {
        let rendered = rendered(&shop(orders), false);
        let template = &deployment(&rendered)
            .spec
            .as_ref()
            .expect("a spec")
            .template;
        serde_json::to_value(template).expect("JSON")
    };
    assert_eq!(revision(json!({})), revision(report));
}

#[test]
fn decisions_go_by_the_image_that_was_asked_for() {
    let shop = reporting();
    let rendered = rendered(&shop, false);
    let mut live = deployment(&rendered).clone();
    set_image(&mut live);
    let runs = running(&live).expect("an image");
    assert_eq!(runs.image, shop.services[ORDERS].image);

    // Somebody has put a container before the one that serves.
    let spec = live
        .spec
        .as_mut()
        .and_then(|spec| spec.template.spec.as_mut());
    let containers = &mut spec.expect("a pod").containers;
    let before = json!({"name": "before", "image": "sidecar:1"});
    containers.insert(0, serde_json::from_value(before).expect("a container"));
    assert_eq!(image_of(&live), Some(BY_HAND));
    let noted = noted(&live).expect("a note");
    assert_eq!(
        (noted.container, noted.image),
        (ORDERS, shop.services[ORDERS].image.as_str())
    );

    // And the label that names it is gone: the first one is what it runs, and not nothing.
    let mut unnamed = deployment(&rendered).clone();
    unnamed.labels_mut().remove(NAME_LABEL);
    let runs = running(&unnamed).expect("an image");
    assert_eq!(runs.image, shop.services[ORDERS].image);
    unnamed.annotations_mut().clear();
    assert_eq!(image_of(&unnamed), Some(runs.image.as_str()));

    // Left behind by another revision, because somebody else has set it too.
    let stale = "0123456789abcdef by.hand/orders:6".to_owned();
    let stale = ("shopkeeper.dev/runs".to_owned(), stale);
    live.annotations_mut().extend([stale]);
    let runs = running(&live).expect("an image");
    assert_eq!(runs.image, BY_HAND);
}

#[test]
fn what_pods_of_another_image_find_says_nothing_about_the_migration() {
    let ended = json!({"terminated": {"exitCode": 3, "finishedAt": "2026-01-01T00:10:00Z"}});
    let containers = json!([{
        "name": "orders", "image": "o", "imageID": "", "ready": false, "restartCount": 1, "state": ended,
    }]);
    let status = json!({"phase": "Running", "containerStatuses": containers});
    let migration = |shop: &ValidShop, live: &Deployment, image: &str| {
        let mut observed = migrated(shop);
        let done = json!({"succeeded": 1, "completionTime": "2026-01-01T00:00:00Z"});
        let seen = observed.of(ORDERS);
        seen.migration = Some(job(shop, ORDERS, done));
        let pod = pod(shop, ORDERS, Component::Service, status.clone());
        seen.pods = vec![with_image(pod, image)];
        seen.deployment = Some(Arc::new(live.clone()));
        let decision = decide(&facts(shop, &observed));
        decision.services[ORDERS].migration.clone()
    };
    let behind = Migration::Superseded(Renewal::SchemaBehind);
    let reporting = reporting();
    let image = reporting.services[ORDERS].image.as_str();
    let as_rendered = deployment(&rendered(&reporting, false)).clone();
    let mut edited = as_rendered.clone();
    set_image(&mut edited);
    // The pod is what counts: the Deployment may be edited, or no longer be so.
    for live in [as_rendered, edited] {
        assert_eq!(migration(&reporting, &live, BY_HAND), Migration::Done);
        assert_eq!(migration(&reporting, &live, image), behind);
    }
    // A webhook has set the image of pods, and nobody may by hand.
    let enforced = shop(json!({}));
    let live = deployment(&rendered(&enforced, false)).clone();
    assert_eq!(migration(&enforced, &live, BY_HAND), behind);
}

#[test]
fn pods_of_an_image_that_was_set_by_hand_say_nothing_about_their_revision() {
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let crashed = json!({"containerStatuses": [{
        "name": "orders", "image": "o", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1}},
    }]});
    let reporting = reporting();
    let live = deployment(&rendered(&reporting, false)).clone();
    let good = of_deployment(&live).expect("a stamp");
    let seen_with = |live: &Deployment, image: &str, status: &Value| {
        let made = pod(&reporting, ORDERS, Component::Service, status.clone());
        let mut made = with_image(made, image);
        let labels = [(REVISION_LABEL, good.as_str()), (SERVES_LABEL, ORDERS)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Arc::make_mut(&mut made).labels_mut().extend(labels);
        ObservedService {
            deployment: Some(Arc::new(live.clone())),
            pods: vec![made],
            ..ObservedService::default()
        }
    };
    let serves_it = |live: &Deployment, history: &[PastRelease], image: &str| {
        let seen = seen_with(live, image, &ready);
        serves(&seen.pods[0], &good, noted_of(&seen, history, &good))
    };
    let is_alone = |image: &str| no_canary(&seen_with(&live, image, &ready), Some(&good));
    let crashes = |image: &str| {
        let mut observed = migrated(&reporting);
        *observed.of(ORDERS) = seen_with(&live, image, &crashed);
        let facts = facts(&reporting, &observed);
        let view = facts
            .services()
            .find(|service| service.name().as_str() == ORDERS);
        let warnings = &facts.observed.warnings;
        let seen = seen(&view.expect("orders"), &good, &Stage::Idle, warnings);
        seen.trouble.is_some()
    };
    let image = reporting.services[ORDERS].image.as_str();
    for (runs, counts) in [(image, true), (BY_HAND, false)] {
        assert_eq!(serves_it(&live, &[], runs), counts, "{runs}");
        assert_eq!(is_alone(runs).is_none(), counts, "{runs}");
        assert_eq!(crashes(runs), counts, "{runs}");
    }
    // Once the Deployment is to run another revision, the history knows the image of the one before.
    let next = json!({"driftPolicy": "Report", "version": "2"});
    let next = deployment(&rendered(&shop(next), false)).clone();
    let past: PastRelease = serde_json::from_value(json!({
        "revision": good.as_str(), "image": image, "began": "2026-01-01T00:00:00Z",
        "ended": "2026-01-01T00:00:00Z", "result": "Passed",
    }))
    .expect("a past release");
    let history = [past];
    assert!(serves_it(&next, &history, image));
    assert!(!serves_it(&next, &history, BY_HAND));
    // Where nobody may set an image by hand, a webhook may have.
    let enforced = deployment(&rendered(&shop(json!({})), false)).clone();
    assert!(serves_it(&enforced, &history, BY_HAND));
}

fn edited(left: &[&str], taken_back: &[&str], removed: &[&str]) -> Edited {
    let fields = |named: &[&str]| named.iter().map(|&field| field.to_owned()).collect();
    Edited {
        part: Part::Service(ORDERS.into()),
        object: "Deployment corner-orders".into(),
        edits: Edits {
            added: Vec::new(),
            left: fields(left),
            taken_back: fields(taken_back),
            removed: fields(removed),
        },
    }
}

#[test]
fn what_goes_back_is_told_with_the_object_who_and_where() {
    assert_eq!(reverted(&[edited(&["a: spec.x"], &[], &[])]), []);
    let notices = reverted(&[edited(&[], &["a: spec.x", "b: spec.y"], &["c: spec.z"])]);
    let told: Vec<_> = notices
        .iter()
        .map(|notice| (notice.reason, notice.service.as_str(), notice.note.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "DriftReverted",
                "orders",
                "Deployment corner-orders: what somebody else has set is taken back: a: spec.x; b: spec.y",
            ),
            (
                "DriftReverted",
                "orders",
                "Deployment corner-orders: what somebody else has set excludes what the Shop asks for, and is removed: c: spec.z",
            ),
        ]
    );
}

#[test]
fn what_stays_is_in_the_status_and_told_when_it_comes() {
    let mut scene = Scene::all_well(plain());
    let before = scene.report();
    let report = |scene: &mut Scene, left: &[&str]| -> ShopStatus {
        scene.outcome.edited = vec![edited(left, &[], &[])];
        scene.report()
    };
    let one = report(&mut scene, &["a: spec.x"]);
    let two = report(&mut scene, &["a: spec.x", "b: spec.y"]);
    let of = |status: &ShopStatus| {
        let mut services = status.services.iter();
        let orders = services.find(|service| service.name == ORDERS);
        orders.expect("orders").drift.clone()
    };
    let x = "Deployment corner-orders: a: spec.x";
    assert_eq!(of(&one), [x]);
    let told = |before: &ShopStatus, after: &ShopStatus| {
        assert_eq!(notices(Some(before), after), []);
        let notices = drifted(Some(before), after).into_iter();
        let told = notices.map(|notice| (notice.reason, notice.note));
        told.collect::<Vec<_>>()
    };
    let what = "changed by somebody else, and left as it is (driftPolicy: Report)";
    let note = |of: &str| [("DriftReported", format!("{what}: {of}"))];
    assert_eq!(told(&before, &one), note(x));
    let y = "Deployment corner-orders: b: spec.y";
    assert_eq!(told(&one, &two), note(y));
    assert_eq!(told(&two, &two), []);
    assert_eq!(told(&two, &before), []);

    // Of many some are named, and of the rest how many they are; that is nothing new.
    let many: Vec<_> = (10..33).map(|number| format!("a: spec.{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let (few, all) = (report(&mut scene, &many[..22]), report(&mut scene, &many));
    assert_eq!(of(&all).len(), 21);
    assert_eq!(
        (of(&few)[20].as_str(), of(&all)[20].as_str()),
        ("and 2 more", "and 3 more")
    );
    assert_eq!(told(&few, &all), []);
    let first = told(&before, &all).remove(0).1;
    assert!(
        first.contains("spec.29") && !first.contains("more"),
        "{first}"
    );
    assert!(!first.contains("spec.30"), "{first}");
}
