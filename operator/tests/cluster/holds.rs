//! What keeps a service at what it runs: its turn in a release of the shop, a pause, an operator that only renders otherwise. And what does not.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::Job, events::v1::Event},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use shop_operator::{
    api::{HoldReason, Phase, Shop, ShopReleaseStage, ShopStatus},
    progress::decide::image_of,
};

use crate::{
    harness::{Harness, PATIENCE, condition, is_ready, phase},
    release::crashing,
};

pub(crate) const SERVICES: [&str; 5] = ["email", "orders", "payments", "search", "users"];

pub(crate) fn shop(version: &str, further: Value) -> Value {
    let mut spec = json!({"version": version, "rollout": {"gate": "1s"}});
    for (key, value) in further.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

pub(crate) fn held(status: &ShopStatus, service: &str) -> Option<HoldReason> {
    let mut releases = status.releases.iter();
    let release = releases.find(|release| release.name == service)?;
    release.held.as_ref().map(|held| held.reason)
}

pub(crate) fn stage(status: &ShopStatus) -> ShopReleaseStage {
    let release = status.release.as_ref().expect("a release of the shop");
    release.stage
}

impl Harness {
    /// The tags of the images of all services, in the order of their names.
    pub(crate) async fn tags(&self) -> Vec<String> {
        let deployments = self.list::<Deployment>().await;
        let tag = |service: &&str| {
            let name = format!("demo-{service}");
            let found = deployments.iter().find(|live| live.name_any() == name);
            let image = found.and_then(image_of).unwrap_or_default();
            image.rsplit(':').next().unwrap_or_default().to_owned()
        };
        SERVICES.iter().map(tag).collect()
    }

    pub(crate) async fn jobs(&self) -> BTreeSet<String> {
        let jobs = self.list::<Job>().await;
        jobs.iter().map(ResourceExt::name_any).collect()
    }

    /// With all hands, until these tags run.
    pub(crate) async fn play_until(&self, tags: [&str; 5]) {
        self.reconcile_until(&format!("{tags:?}"), || async {
            self.finish_jobs().await;
            self.roll_all().await;
            self.tags().await == tags
        })
        .await;
    }

    /// Goes on for some passes, with all hands.
    pub(crate) async fn play_on(&self) {
        for _ in 0..10 {
            self.reconcile().await.expect("a reconcile");
            self.finish_jobs().await;
            self.roll_all().await;
        }
    }

    /// What comes back is read each time; and while nothing happens, nobody looks again at once.
    pub(crate) async fn until_nothing_is_written(&self) {
        self.reconcile_until("quiet", || async {
            let before = self.requests().len();
            let done = self.reconcile().await.expect("a reconcile");
            let sent = self.requests().split_off(before);
            sent.iter().all(|(verb, _)| verb == "GET") && done.next_check > Duration::from_secs(1)
        })
        .await;
    }

    /// Goes on at this time, with all hands, until this holds.
    async fn play_at(&self, now: Timestamp, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = self.reconcile_at(now).await;
            if holds().await {
                return;
            }
            self.finish_jobs().await;
            self.roll_all().await;
            assert!(Instant::now() < deadline, "not in time: {what}; {result:?}");
        }
    }

    async fn annotate(&self, annotations: Value) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let (shops, params) = (self.api::<Shop>(), PatchParams::default());
        let written = shops.patch("demo", &params, &patch).await;
        written.expect("annotated");
    }

    async fn reasons(&self) -> BTreeSet<String> {
        let events = self.list::<Event>().await;
        events
            .into_iter()
            .filter_map(|event| event.reason)
            .collect()
    }
}

#[tokio::test]
async fn a_version_reaches_those_who_are_called_before_those_who_call() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let before = harness.jobs().await;
    harness.apply(shop("2", json!({}))).await;
    harness.play_until(["1", "1", "2", "1", "2"]).await;
    let status = harness.status().await;
    assert_eq!(stage(&status), ShopReleaseStage::Rolling);
    assert_eq!(held(&status, "orders"), Some(HoldReason::Wave));
    assert_eq!(phase(&status, "orders"), Some(Phase::Rolling));
    let jobs = harness.jobs().await;
    let begun = jobs.difference(&before).count();
    assert_eq!(begun, 2, "no migration of a later wave begins: {jobs:?}");
    harness.play_until(["2"; 5]).await;
    let status = harness
        .reconcile_until_status("done", |status| {
            stage(status) == ShopReleaseStage::Done && is_ready(status)
        })
        .await;
    assert_eq!(status.version.as_deref(), Some("2"));
    assert!(harness.reasons().await.contains("HoldEnded"));
}

#[tokio::test]
async fn a_shop_goes_back_as_one_and_another_version_is_tried() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    harness.apply(shop("2", json!({}))).await;
    harness.play_until(["2", "2", "2", "2", "2"]).await;
    harness.pod_of_orders(crashing()).await;
    let status = harness
        .reconcile_until_status("taken back", |status| {
            stage(status) == ShopReleaseStage::Returning
        })
        .await;
    assert!(!is_ready(&status));
    let jobs = harness.jobs().await;
    harness.play_until(["1"; 5]).await;
    let status = harness
        .reconcile_until_status("all are back", |status| {
            stage(status) == ShopReleaseStage::TakenBack
        })
        .await;
    let release = status.release.clone().expect("a release");
    assert_eq!(release.service.as_deref(), Some("orders"));
    harness.play_on().await;
    assert_eq!(harness.tags().await, ["1"; 5], "nothing is tried again");
    assert_eq!(
        harness.jobs().await,
        jobs,
        "nothing is migrated back, and what was done is not forgotten"
    );
    harness.until_nothing_is_written().await;
    let (ready, reason, message) = condition(&harness.status().await, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "TakenBack"));
    assert!(
        message.contains(
            "the release of 2 was taken back, because orders failed: pod demo-orders-x crashes"
        ),
        "{message}"
    );
    // For what another version waits is told, and no more what failed before.
    let pause = json!({"pause": {"reason": "the sale"}});
    harness.apply(shop("3", pause)).await;
    harness.play_on().await;
    let status = harness.status().await;
    for service in ["users", "orders"] {
        assert_eq!(held(&status, service), Some(HoldReason::Paused));
    }
    assert_eq!(condition(&status, "Ready").1, "Held");
    assert_eq!(harness.tags().await, ["1"; 5]);
    harness.apply(shop("3", json!({}))).await;
    harness.play_until(["3"; 5]).await;
}

#[tokio::test]
async fn what_is_held_comes_back_as_it_was_when_its_deployment_is_deleted() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let pause = json!({"pause": {"reason": "the sale"}});
    harness.apply(shop("2", pause)).await;
    harness.play_on().await;
    let deployments = harness.api::<Deployment>();
    let params = DeleteParams::default();
    let deleted = deployments.delete("demo-orders", &params).await;
    deleted.expect("deleted");
    let jobs = harness.jobs().await;
    harness.play_until(["1"; 5]).await;
    assert_eq!(harness.jobs().await, jobs, "no migration begins");
}

#[tokio::test]
async fn waves_are_those_that_the_shop_names() {
    let harness = Harness::new().await;
    let rollout = json!({"rollout": {"gate": "1s", "waves": [["search"], ["orders", "email"]]}});
    harness.apply(shop("1", rollout.clone())).await;
    harness.bring_up().await;
    harness.apply(shop("2", rollout)).await;
    harness.play_until(["1", "1", "1", "2", "1"]).await;
    harness.play_until(["2", "2", "1", "2", "1"]).await;
    harness.play_until(["2"; 5]).await;
}

#[tokio::test]
async fn a_pause_holds_what_is_asked_for_and_ends_by_itself() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let before = harness.jobs().await;
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    let pause = json!({"pause": {"reason": "the sale", "until": until.to_string()}});
    harness.apply(shop("1", pause.clone())).await;
    harness.play_on().await;
    assert!(is_ready(&harness.status().await), "nothing is held");
    harness.apply(shop("2", pause)).await;
    harness.play_on().await;
    let status = harness.status().await;
    assert_eq!(harness.tags().await, ["1"; 5]);
    assert_eq!(harness.jobs().await, before, "no migration begins");
    assert_eq!(held(&status, "users"), Some(HoldReason::Paused));
    let (ready, reason, message) = condition(&status, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Held"));
    assert!(message.contains("the sale"), "{message}");
    let shortly = until - SignedDuration::from_secs(2);
    let done = harness.reconcile_at(shortly).await.expect("a reconcile");
    assert!(done.next_check < Duration::from_secs(3), "{done:?}");

    let after = until + SignedDuration::from_secs(1);
    harness.reconcile_at(after).await.expect("a reconcile");
    assert_eq!(held(&harness.status().await, "users"), None);
    assert!(harness.reasons().await.contains("HoldEnded"));
}

#[tokio::test]
async fn a_pause_that_is_over_when_it_is_applied_holds_nothing_and_says_so() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let over = json!({"reason": "the sale", "until": "2020-01-01T00:00:00Z"});
    let services = json!({"users": {"pause": over}});
    let paused = json!({"pause": over, "services": services});
    harness.apply(shop("2", paused)).await;
    harness.play_until(["2"; 5]).await;
    let status = harness.reconcile_until_status("Ready", is_ready).await;
    let (is, _, message) = condition(&status, "Ignored");
    assert_eq!(is, "True");
    for field in ["spec.pause", "spec.services.users.pause"] {
        let told = format!("{field} ended 2020-01-01T00:00:00Z and holds nothing");
        assert!(message.contains(&told), "{message}");
    }
    harness.apply(shop("2", json!({}))).await;
    harness
        .reconcile_until_status("no word of it", |status| {
            condition(status, "Ignored").0.is_empty()
        })
        .await;
}

#[tokio::test]
async fn another_try_of_a_service_that_there_is_not_is_told() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let misspelt = json!({
        "retry.shopkeeper.dev/paymnets": "1", "retry.shopkeeper.dev": "1", "retry.shopkeeper.dev/users": "1",
        "promote.shopkeeper.dev/ordres": "1", "abort.shopkeeper.dev/ordres": "1",
    });
    harness.annotate(misspelt).await;
    let status = harness
        .reconcile_until_status("it is told", |status| {
            condition(status, "Ignored").0 == "True"
        })
        .await;
    let (_, reason, message) = condition(&status, "Ignored");
    assert_eq!(reason, "NoEffect");
    assert!(
        message.contains("retry.shopkeeper.dev/paymnets: there is no service paymnets"),
        "{message}"
    );
    assert!(
        message.contains("retry.shopkeeper.dev: it names no service"),
        "{message}"
    );
    for kind in ["promote", "abort"] {
        let told = format!("{kind}.shopkeeper.dev/ordres: there is no service ordres");
        assert!(message.contains(&told), "{message}");
    }
    assert!(!message.contains("retry.shopkeeper.dev/users"), "{message}");
    assert!(is_ready(&status), "it keeps nothing from being ready");
    harness.until_quiet().await;
    let none = json!({
        "retry.shopkeeper.dev/paymnets": null, "retry.shopkeeper.dev": null,
        "promote.shopkeeper.dev/ordres": null, "abort.shopkeeper.dev/ordres": null,
    });
    harness.annotate(none).await;
    harness
        .reconcile_until_status("no word of it", |status| {
            condition(status, "Ignored").0.is_empty()
        })
        .await;
}

#[tokio::test]
async fn a_pause_in_the_middle_lets_a_release_of_the_shop_go_on_and_begins_no_other() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    harness.apply(shop("2", json!({}))).await;
    harness.play_until(["1", "1", "2", "1", "2"]).await;
    let pause = json!({"pause": {"reason": "the sale"}});
    harness.apply(shop("2", pause.clone())).await;
    harness.play_until(["2"; 5]).await;
    harness
        .reconcile_until_status("done", |status| stage(status) == ShopReleaseStage::Done)
        .await;
    harness.apply(shop("3", pause)).await;
    harness.play_on().await;
    assert_eq!(harness.tags().await, ["2"; 5]);
    let status = harness.status().await;
    assert_eq!(held(&status, "users"), Some(HoldReason::Paused));
    harness.apply(shop("3", json!({}))).await;
    harness.play_until(["3"; 5]).await;
}

/// So many hours after now, to the minute.
pub(crate) fn in_hours(hours: i64) -> Timestamp {
    let then = Timestamp::now() + SignedDuration::from_hours(hours);
    then - SignedDuration::from_secs(then.as_second() % 60)
}

/// Every day for an hour from this time on.
pub(crate) fn window(opens: Timestamp) -> Value {
    let start = opens.strftime("%H:%M").to_string();
    json!([{"start": start, "duration": "1h"}])
}

#[tokio::test]
async fn a_closed_window_holds_a_new_version_until_one_opens() {
    let harness = Harness::new().await;
    let with = |windows: Value| {
        let rollout = json!({"gate": "1s", "begins": "InWindow"});
        json!({"rollout": rollout, "maintenanceWindows": windows})
    };
    let opens = in_hours(12);
    let closed = with(window(opens));
    harness.apply(shop("1", closed.clone())).await;
    harness.bring_up().await;
    let before = harness.jobs().await;
    harness.apply(shop("2", closed)).await;
    harness.play_on().await;
    let status = harness.status().await;
    assert_eq!(harness.tags().await, ["1"; 5]);
    assert_eq!(harness.jobs().await, before, "no migration begins");
    assert_eq!(stage(&status), ShopReleaseStage::Done, "nor does a release");
    assert_eq!(held(&status, "users"), Some(HoldReason::Window));
    assert_eq!(phase(&status, "users"), Some(Phase::Held));
    let (ready, reason, message) = condition(&status, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Held"));
    assert!(
        message.contains("waits for the maintenance window that opens 20"),
        "{message}"
    );
    let shortly = opens - SignedDuration::from_secs(2);
    let done = harness.reconcile_at(shortly).await.expect("a reconcile");
    assert!(done.next_check < Duration::from_secs(4), "{done:?}");

    harness.apply(shop("2", with(window(in_hours(0))))).await;
    harness.play_until(["1", "1", "2", "1", "2"]).await;
    // It has begun, and goes on when the window closes.
    harness.apply(shop("2", with(window(in_hours(12))))).await;
    harness.play_until(["2"; 5]).await;
    harness
        .reconcile_until_status("done", |status| {
            stage(status) == ShopReleaseStage::Done && is_ready(status)
        })
        .await;
}

#[tokio::test]
async fn a_window_that_closes_while_a_migration_runs_does_not_hold_it() {
    let harness = Harness::new().await;
    let spec = |windows: Value, services: Value| {
        let rollout = json!({"gate": "1s", "begins": "InWindow"});
        let further =
            json!({"rollout": rollout, "maintenanceWindows": windows, "services": services});
        shop("1", further)
    };
    harness.apply(spec(window(in_hours(0)), json!({}))).await;
    harness.bring_up().await;
    let before = harness.jobs().await;
    let newer = json!({"users": {"version": "2"}});
    harness
        .apply(spec(window(in_hours(0)), newer.clone()))
        .await;
    harness
        .reconcile_until("a migration begins", || async {
            harness.jobs().await != before
        })
        .await;
    harness.apply(spec(window(in_hours(12)), newer)).await;
    harness.reconcile().await.expect("a reconcile");
    assert_eq!(held(&harness.status().await, "users"), None);
    harness.play_until(["1", "1", "1", "1", "2"]).await;
    // What is asked for from then on waits.
    let third = json!({"users": {"version": "3"}});
    harness.apply(spec(window(in_hours(12)), third)).await;
    harness.play_on().await;
    let status = harness.status().await;
    assert_eq!(held(&status, "users"), Some(HoldReason::Window));
    assert_eq!(harness.tags().await, ["1", "1", "1", "1", "2"]);
}

#[tokio::test]
async fn a_pause_of_one_service_holds_that_one_alone() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let env = json!([{"name": "NOTE", "value": "new"}]);
    let services = json!({"services": {
        "users": {"pause": {"reason": "not now"}, "env": env},
        "search": {"env": env},
    }});
    harness.apply(shop("1", services)).await;
    let status = harness
        .reconcile_until_status("users is held", |status| {
            held(status, "users") == Some(HoldReason::Paused)
        })
        .await;
    assert_eq!(held(&status, "search"), None);
    let of = |name: &'static str| {
        let harness = &harness;
        async move {
            let live = harness.api::<Deployment>().get(name).await;
            format!("{:?}", live.expect("one").spec.expect("a spec").template)
        }
    };
    assert!(of("demo-search").await.contains("NOTE"));
    assert!(!of("demo-users").await.contains("NOTE"));
    let services = json!({"services": {"users": {"env": env}, "search": {"env": env}}});
    harness.apply(shop("1", services)).await;
    harness
        .reconcile_until("users gets it", || async {
            of("demo-users").await.contains("NOTE")
        })
        .await;
}

#[tokio::test]
async fn another_operator_rolls_no_pod_before_the_next_release() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let before = (harness.jobs().await, images(&harness).await);
    let harness = harness.upgraded("other.example").await;
    harness.play_on().await;
    assert_eq!((harness.jobs().await, images(&harness).await), before);
    let status = harness.status().await;
    let (available, _, message) = condition(&status, "UpdateAvailable");
    assert_eq!(available, "True");
    assert!(
        message.contains("image other.example/orders:1"),
        "{message}"
    );
    assert!(
        is_ready(&status),
        "it is told, and keeps nothing from being ready: {status:#?}"
    );

    let env = json!([{"name": "NOTE", "value": "new"}]);
    harness
        .apply(shop("1", json!({"services": {"orders": {"env": env}}})))
        .await;
    harness
        .reconcile_until("orders gets both", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            images(&harness).await.contains("other.example/orders:1")
        })
        .await;
    let images_now = images(&harness).await;
    assert!(
        images_now.contains("registry.example/users:1"),
        "{images_now:?}"
    );

    harness
        .apply(shop("1", json!({"operatorUpdates": "Immediately"})))
        .await;
    harness
        .reconcile_until("all get it", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            let images = images(&harness).await;
            images
                .iter()
                .all(|image| image.starts_with("other.example/"))
        })
        .await;
    let status = harness
        .reconcile_until_status("nothing more", |status| {
            status
                .conditions
                .iter()
                .all(|c| c.type_ != "UpdateAvailable")
        })
        .await;
    assert_eq!(held(&status, "users"), None);
}

/// A settled Shop that another operator renders otherwise, and whose window opens then.
async fn with_an_update_in_a_window(opens: Timestamp) -> Harness {
    let harness = Harness::new().await;
    let further = json!({"operatorUpdates": "Window", "maintenanceWindows": window(opens)});
    harness.apply(shop("1", further)).await;
    harness.bring_up().await;
    harness.upgraded("other.example").await
}

fn are_all_of(registry: &str, images: &BTreeSet<String>) -> bool {
    images.iter().all(|image| image.starts_with(registry))
}

#[tokio::test]
async fn what_another_operator_changes_waits_for_the_window_begins_in_it_and_goes_on_after_it() {
    let opens = in_hours(12);
    let harness = with_an_update_in_a_window(opens).await;
    let (jobs, before) = (harness.jobs().await, images(&harness).await);
    harness.play_on().await;
    assert_eq!(harness.jobs().await, jobs, "no migration begins");
    assert_eq!(images(&harness).await, before);
    let status = harness.status().await;
    assert_eq!(held(&status, "users"), Some(HoldReason::OperatorUpdate));
    let message = condition(&status, "UpdateAvailable").2;
    let told = format!(
        "when the maintenance window opens {opens:.0} or somebody approves it: image other.example/users:1"
    );
    assert!(message.contains(&told), "{message}");
    assert!(is_ready(&status), "{status:#?}");
    let shortly = opens - SignedDuration::from_secs(2);
    let done = harness.reconcile_at(shortly).await.expect("a reconcile");
    assert!(done.next_check < Duration::from_secs(4), "{done:?}");
    assert_eq!(harness.jobs().await, jobs, "nor shortly before");

    let within = opens + SignedDuration::from_mins(1);
    let begun = async || harness.jobs().await.difference(&jobs).count() == SERVICES.len();
    harness.play_at(within, "it begins", begun).await;
    let closed = opens + SignedDuration::from_hours(2);
    let are_new = async || are_all_of("other.example/", &images(&harness).await);
    harness.play_at(closed, "it goes on", are_new).await;
}

#[tokio::test]
async fn an_update_that_somebody_approves_begins_for_that_service_and_no_other() {
    let harness = with_an_update_in_a_window(in_hours(12)).await;
    harness.play_on().await;
    let status = harness.status().await;
    let waits = |service: &str| {
        let mut releases = status.releases.iter();
        let release = releases.find(|release| release.name == service);
        let held = release.and_then(|release| release.held.clone());
        held.and_then(|held| held.approval).expect("one waits")
    };
    // What was approved of an older operator is not approved of this one.
    harness.say("approve", "of-an-older-one 0a").await;
    harness.play_on().await;
    assert!(!are_all_of("other.example/", &images(&harness).await));
    harness.say("approve", &waits("orders")).await;
    harness
        .reconcile_until("it begins", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            harness.image_of_orders().await == "other.example/orders:1"
        })
        .await;
    harness.play_on().await;
    let images = images(&harness).await;
    let of_other: Vec<_> = images.iter().filter(|i| i.starts_with("other")).collect();
    assert_eq!(of_other, ["other.example/orders:1"]);
    let status = harness.status().await;
    assert_eq!(held(&status, "users"), Some(HoldReason::OperatorUpdate));
    assert_eq!(held(&status, "orders"), None);
}

#[tokio::test]
async fn what_an_operator_began_in_a_window_lets_no_other_operator_begin_after_it() {
    let opens = in_hours(12);
    let harness = with_an_update_in_a_window(opens).await;
    let (jobs, before) = (harness.jobs().await, images(&harness).await);
    let within = opens + SignedDuration::from_mins(1);
    let begun = async || harness.jobs().await.difference(&jobs).count() == SERVICES.len();
    harness.play_at(within, "it begins", begun).await;
    let harness = harness.upgraded("third.example").await;
    let closed = opens + SignedDuration::from_hours(2);
    for _ in 0..10 {
        harness.reconcile_at(closed).await.expect("a reconcile");
        harness.finish_jobs().await;
        harness.roll_all().await;
    }
    let jobs = harness.list::<Job>().await;
    let images_of_jobs = jobs.iter().map(|job| format!("{:?}", job.spec));
    let third = images_of_jobs.filter(|spec| spec.contains("third.example/"));
    assert_eq!(third.count(), 0, "a migration begins outside of the window");
    assert_eq!(images(&harness).await, before);
    let status = harness.status().await;
    assert_eq!(held(&status, "users"), Some(HoldReason::OperatorUpdate));

    let next = within + SignedDuration::from_hours(24);
    let are_new = async || are_all_of("third.example/", &images(&harness).await);
    harness.play_at(next, "it has its window", are_new).await;
}

async fn images(harness: &Harness) -> BTreeSet<String> {
    let deployments = harness.list::<Deployment>().await;
    deployments
        .iter()
        .filter_map(image_of)
        .map(str::to_owned)
        .collect()
}
