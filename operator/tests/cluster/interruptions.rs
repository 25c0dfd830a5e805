//! What comes in between a release of the shop: its Shop is deleted or edited again, its operators are killed, a migration hangs, what should
//! come back is not what it was.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::Job,
        core::v1::{Secret, Service, ServiceAccount},
        events::v1::Event,
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::Role,
    },
};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shop_operator::api::{PastRelease, ReleaseResult, ShopReleaseStage, ShopStatus};

use crate::{
    harness::{Harness, PATIENCE, condition, is_ready},
    holds::{SERVICES, held, shop, stage},
    rbac,
    release::{Death, crashing, running},
    running::{RunningController, until, within},
};

/// Longer than anything takes that does not hang.
const SOON: Duration = Duration::from_secs(30);
/// Of the tests that name them: what is not named comes after.
const WAVES: [&[&str]; 3] = [&["users"], &["payments", "search"], &["email", "orders"]];

fn in_three_waves() -> Value {
    json!({"rollout": {"gate": "1s", "waves": &WAVES[..2]}})
}

impl Harness {
    /// Kubernetes: migrations end well and pods get ready, but those of orders that are of this image crash.
    async fn play_with(&self, bad: &str) {
        self.finish_jobs().await;
        let is_bad = self.image_of_orders().await == bad;
        for service in SERVICES {
            if service != "orders" || !is_bad {
                self.roll(&format!("demo-{service}")).await;
            }
        }
        self.pod_of_orders(if is_bad { crashing() } else { running() })
            .await;
    }

    /// To the moment where all of the first of the two usual waves has proved itself, and the migrations of the second one run.
    async fn play_into_the_second_wave(&self) {
        let before = self.jobs().await;
        self.reconcile_until("all migrations have begun", || async {
            if self.jobs().await.difference(&before).count() == SERVICES.len() {
                return true;
            }
            self.finish_jobs().await;
            self.roll_all().await;
            false
        })
        .await;
        assert_eq!(self.tags().await, ["1", "1", "2", "1", "2"]);
    }

    /// The garbage collector: what this Shop owns goes. Returns what does not.
    async fn collect_garbage(&self, shop: &str) -> Vec<String> {
        let mut left = Vec::new();
        macro_rules! collect {
            ($($kind:ty),+) => {$(left.extend(self.collect::<$kind>(shop).await);)+};
        }
        collect!(
            ControllerRevision,
            Deployment,
            StatefulSet,
            Job,
            Service,
            ServiceAccount,
            Secret,
            NetworkPolicy,
            PodDisruptionBudget,
            HorizontalPodAutoscaler
        );
        left
    }

    async fn collect<K>(&self, shop: &str) -> Vec<String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let mut left = Vec::new();
        for object in self.list::<K>().await {
            let name = object.name_any();
            match object.owner_references().iter().any(|of| of.uid == shop) {
                true => drop(
                    self.api::<K>()
                        .delete(&name, &DeleteParams::background())
                        .await
                        .expect("deleted"),
                ),
                false => left.push(name),
            }
        }
        left
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: `make test-long`"]
async fn a_shop_that_is_deleted_amid_its_release_goes_with_all_that_is_its_own() {
    for policy in ["Delete", "Retain"] {
        let harness = Harness::new().await;
        let further = json!({"database": {"deletionPolicy": policy}});
        harness.apply(shop("1", further.clone())).await;
        harness.bring_up().await;
        let made = harness.apply(shop("2", further)).await;
        harness.play_until(["1", "1", "2", "1", "2"]).await;
        let uid = made.metadata.uid.expect("a uid");
        let data = harness.data().await;
        let running = RunningController::start(harness.context.config.clone()).await;
        until("it is at work", async || {
            running.tells_of(&harness.namespace)
        })
        .await;

        harness.delete_shop().await;
        within(SOON, "the Shop goes", async || !harness.shop_exists().await).await;
        let stopped = tokio::time::timeout(SOON, running.stop()).await;
        stopped.expect("no pass hangs");
        let kept = if policy == "Delete" { vec![] } else { data };
        assert_eq!(harness.data().await, kept, "{policy}");
        let mut left = harness.collect_garbage(&uid).await;
        left.retain(|name| !kept.contains(name));
        assert_eq!(left, [""; 0], "{policy}: nobody would ever delete it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_is_deleted_and_whose_data_may_not_be_says_so_and_goes_once_they_may() {
    let harness = Harness::in_one_namespace().await;
    let further = json!({"database": {"deletionPolicy": "Delete"}});
    harness.apply(shop("1", further)).await;
    harness.bring_up().await;
    let roles = harness.api::<Role>();
    let mut rights = roles.get(rbac::USER).await.expect("rights");
    let all = rights.rules.clone();
    for rule in rights.rules.iter_mut().flatten() {
        if rule
            .resources
            .iter()
            .flatten()
            .any(|of| of == "persistentvolumeclaims")
        {
            rule.verbs.retain(|verb| verb != "delete");
        }
    }
    let params = PostParams::default();
    let fewer = roles.replace(rbac::USER, &params, &rights).await;
    let mut rights = fewer.expect("fewer rights");
    let config = harness.context.config.clone();
    let running = RunningController::start_as(&rbac::user_of(&harness.namespace), config).await;
    until("it is at work", async || {
        running.tells_of(&harness.namespace)
    })
    .await;

    harness.delete_shop().await;
    let ready = async || condition(&harness.status().await, "Ready");
    within(SOON, "it is told", async || ready().await.1 == "Forbidden").await;
    let message = ready().await.2;
    assert!(
        message.contains("PersistentVolumeClaim data-demo-"),
        "{message}"
    );
    rights.rules = all;
    let more = roles.replace(rbac::USER, &params, &rights).await;
    more.expect("all rights");
    until("the Shop goes", async || !harness.shop_exists().await).await;
    running.stop().await;
    assert_eq!(harness.data().await, [""; 0]);
}

/// What was seen of a release of the shop so far.
struct Course {
    version: &'static str,
    was_reached: bool,
    went_back: bool,
}

impl Course {
    fn of(version: &'static str) -> Self {
        Self {
            version,
            was_reached: false,
            went_back: false,
        }
    }

    /// No service has the version before all of the waves before it have it and proved themselves; and on the way back none loses it before
    /// all of those after it.
    fn goes_on(&mut self, tags: &[String], status: &ShopStatus) {
        let has = |service: &&str| {
            let mut all = SERVICES.iter().zip(tags);
            all.any(|(name, tag)| name == service && tag == self.version)
        };
        let proved = |service: &&str| {
            let release = status.releases.iter().find(|of| of.name == *service);
            let mut history = release.iter().flat_map(|release| &release.history);
            history.any(|past| past.image.ends_with(&format!(":{}", self.version)))
        };
        for pair in WAVES.windows(2) {
            let is_late = pair[0].iter().any(|of| !has(of) || !proved(of));
            let is_begun = pair[1].iter().any(has);
            assert!(!(is_late && is_begun), "out of turn: {tags:?}");
        }
        let is_there = has(&"orders");
        assert!(!(self.went_back && is_there), "what failed is tried again");
        self.was_reached |= is_there;
        self.went_back |= self.was_reached && !is_there;
    }
}

/// How many operators were killed before the release failed, and how many after that.
#[derive(Default)]
struct Killed {
    before: usize,
    after: usize,
}

/// Goes on to this end, though no operator lives for long: each is killed before one of its next writes.
async fn outlived(
    mut harness: Harness,
    bad: &str,
    mut course: Course,
    is_over: impl Fn(&ShopStatus) -> bool,
) -> (Harness, Killed) {
    let deadline = Instant::now() + PATIENCE;
    let mut killed = Killed::default();
    loop {
        let death = Arc::<Death>::default();
        harness = harness.dying(&death).await;
        // Writes that are sent together die together, so that one that died at few of them would not get on.
        death.is_due(2 + (killed.before + killed.after) % 6);
        let is_dead = loop {
            harness.play_with(bad).await;
            let is_dead = tokio::select! {
                _ = harness.reconcile() => false,
                () = death.comes() => true,
            };
            let status = harness.status().await;
            course.goes_on(&harness.tags().await, &status);
            if is_dead || is_over(&status) {
                break is_dead;
            }
            assert!(Instant::now() < deadline, "not in time: {status:#?}");
        };
        if !is_dead {
            return (harness.restarted().await, killed);
        }
        match course.went_back {
            true => killed.after += 1,
            false => killed.before += 1,
        }
        assert!(Instant::now() < deadline, "none gets on");
    }
}

#[tokio::test]
#[ignore = "half a minute and more: `make test-long`"]
async fn a_release_of_the_shop_comes_to_its_end_though_one_operator_after_the_other_is_killed() {
    let harness = Harness::new().await;
    harness.apply(shop("1", in_three_waves())).await;
    harness.bring_up().await;

    harness.apply(shop("2", in_three_waves())).await;
    let is_done = |status: &ShopStatus| {
        let release = status.release.as_ref().expect("a release of the shop");
        release.version == "2" && release.stage == ShopReleaseStage::Done && is_ready(status)
    };
    let (harness, killed) = outlived(harness, "none", Course::of("2"), is_done).await;
    assert!(killed.before > 5, "only {}", killed.before);
    assert_eq!(harness.tags().await, ["2"; 5]);

    harness.apply(shop("3", in_three_waves())).await;
    let bad = "registry.example/orders:3";
    let is_back = |status: &ShopStatus| stage(status) == ShopReleaseStage::TakenBack;
    let (harness, killed) = outlived(harness, bad, Course::of("3"), is_back).await;
    assert!(killed.before > 5, "only {}", killed.before);
    assert!(killed.after > 1, "only {}", killed.after);
    assert_eq!(harness.tags().await, ["2"; 5]);
    let status = harness.status().await;
    let release = status.release.expect("a release of the shop");
    assert_eq!(release.service.as_deref(), Some("orders"));
    for release in &status.releases {
        let tries = release.history.iter();
        let tries: Vec<_> = tries.filter(|past| past.image.ends_with(":3")).collect();
        let taken_back = tries
            .iter()
            .filter(|past| past.result == ReleaseResult::TakenBack);
        assert_eq!(taken_back.count(), 1, "{}: {tries:#?}", release.name);
    }
    harness.until_nothing_is_written().await;
}

#[tokio::test]
async fn a_version_that_comes_amid_a_release_goes_on_and_goes_back_to_what_ran_before_both() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    harness.apply(shop("2", json!({}))).await;
    harness.play_into_the_second_wave().await;

    harness.apply(shop("3", json!({}))).await;
    harness.play_until(["1", "1", "3", "1", "3"]).await;
    let status = harness.status().await;
    assert_eq!(stage(&status), ShopReleaseStage::Rolling);
    harness.play_until(["3"; 5]).await;
    harness.pod_of_orders(crashing()).await;
    harness.play_until(["1"; 5]).await;
    let status = harness
        .reconcile_until_status("all are back", |status| {
            stage(status) == ShopReleaseStage::TakenBack
        })
        .await;
    let (_, reason, message) = condition(&status, "Ready");
    assert_eq!(reason, "TakenBack");
    assert!(
        message.contains("the release of 3 was taken back"),
        "{message}"
    );
    harness.play_on().await;
    assert_eq!(harness.tags().await, ["1"; 5]);
}

#[tokio::test]
async fn a_version_that_is_taken_out_amid_its_release_leaves_those_that_it_did_not_reach_alone() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let of_orders = async || {
        let live = harness.api::<Deployment>().get("demo-orders").await;
        live.expect("a Deployment").metadata.generation
    };
    let before = of_orders().await;
    harness.apply(shop("2", json!({}))).await;
    harness.play_into_the_second_wave().await;

    harness.apply(shop("1", json!({}))).await;
    harness.play_until(["1"; 5]).await;
    let status = harness
        .reconcile_until_status("done", |status| {
            stage(status) == ShopReleaseStage::Done && is_ready(status)
        })
        .await;
    assert_eq!(status.version.as_deref(), Some("1"));
    assert_eq!(held(&status, "orders"), None);
    harness.play_on().await;
    assert_eq!(harness.tags().await, ["1"; 5]);
    assert_eq!(of_orders().await, before, "its pods were never touched");
}

#[tokio::test]
async fn a_migration_that_hangs_takes_back_the_waves_before_it() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    harness.apply(shop("2", json!({}))).await;
    harness.play_into_the_second_wave().await;
    for job in harness.list::<Job>().await {
        if job.name_any().starts_with("demo-orders-migrate-") {
            harness.end_by_deadline(&job.name_any()).await;
        }
    }
    harness.play_until(["1"; 5]).await;
    let status = harness
        .reconcile_until_status("all are back", |status| {
            stage(status) == ShopReleaseStage::TakenBack
        })
        .await;
    let release = status.release.clone().expect("a release of the shop");
    assert_eq!(release.service.as_deref(), Some("orders"));
    let (_, reason, message) = condition(&status, "Ready");
    assert_eq!(reason, "TakenBack");
    assert!(
        message.contains("its migration failed: it was not done within 3600 s"),
        "{message}"
    );
    harness.play_on().await;
    assert_eq!(harness.tags().await, ["1"; 5], "it is not tried again");
    let more_time = json!({"orders": {"migration": {"deadline": "2h"}}});
    harness
        .apply(shop("2", json!({"services": more_time})))
        .await;
    harness.play_until(["2"; 5]).await;
}

#[tokio::test]
async fn a_revision_that_somebody_falsified_keeps_no_other_service_from_going_back() {
    let harness = Harness::new().await;
    harness.apply(shop("1", json!({}))).await;
    harness.bring_up().await;
    let status = harness.status().await;
    let users = status
        .releases
        .iter()
        .find(|release| release.name == "users");
    let good = users.and_then(|users| users.good.clone()).expect("one");
    harness.falsify(&format!("demo-users-{good}")).await;

    harness.apply(shop("2", json!({}))).await;
    harness.play_until(["2"; 5]).await;
    harness.pod_of_orders(crashing()).await;
    harness.play_until(["1", "1", "1", "1", "2"]).await;
    let status = harness
        .reconcile_until_status("all are as far back as they will be", |status| {
            stage(status) == ShopReleaseStage::TakenBack
        })
        .await;
    assert_eq!(condition(&status, "Ready").1, "TakenBack");
    let lost = "what ran before is not kept any more";
    let mut releases = status.releases.iter();
    let users = releases.find(|release| release.name == "users");
    let mut causes = users.iter().flat_map(|users| &users.history);
    let is_told = |past: &PastRelease| {
        past.cause
            .as_ref()
            .is_some_and(|cause| cause.contains(lost))
    };
    assert!(causes.any(is_told), "{users:#?}");
    let events = harness.list::<Event>().await;
    let mut notes = events.iter().filter_map(|event| event.note.as_ref());
    assert!(notes.any(|note| note.starts_with("users ") && note.contains(lost)));
    harness.play_on().await;
    assert_eq!(harness.tags().await, ["1", "1", "1", "1", "2"]);
    harness.until_nothing_is_written().await;
}
