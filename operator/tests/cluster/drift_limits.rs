//! `driftPolicy: Report` where what somebody has changed cannot stay, meets a release, or is kept by others.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentStrategy},
        core::v1::{EnvVar, Service},
    },
    jiff::Timestamp,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::{
    api::{ReleaseStage, ShopStatus},
    apply::refusals::{Failure, Refusals},
    error::Error,
    naming::labels::Part,
    progress::runs::{image_in, running},
    run::reconcile::reconcile,
};

use crate::{
    drift::{BY_HAND, orders, shop},
    harness::{Harness, condition},
    ownership::in_container,
    release::{Death, OLD, release, running as container_runs},
};

const NOTE: &str = "shopkeeper.dev/runs";

impl Harness {
    /// `kubectl set image`.
    async fn set_image(&self, image: &str) {
        let edit = in_container(json!({"image": image}));
        self.edit::<Deployment>("demo-orders", edit).await;
    }

    async fn strategy_of_orders(&self) -> DeploymentStrategy {
        let spec = self.deployment_of_orders().await.spec.expect("a spec");
        spec.strategy.expect("a strategy")
    }

    /// A variable of orders; none where it has no such.
    async fn variable(&self, name: &str) -> Option<EnvVar> {
        let spec = self.deployment_of_orders().await.spec.expect("a spec");
        let mut containers = spec.template.spec.expect("a pod").containers;
        let env = containers.remove(0).env.unwrap_or_default();
        env.into_iter().find(|variable| variable.name == name)
    }

    /// Type and port on every node of the Service of orders.
    async fn reached_at(&self) -> (Option<String>, Option<i32>) {
        let service = self.api::<Service>().get("demo-orders").await;
        let spec = service.expect("a Service").spec.expect("a spec");
        (spec.type_, spec.ports.expect("ports")[0].node_port)
    }

    /// A port of the nodes that was free a moment ago.
    async fn free_port(&self) -> i32 {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "free"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]},
        }))
        .expect("a Service");
        let services = self.api::<Service>();
        let made = services.create(&PostParams::default(), &service).await;
        let gone = services.delete("free", &DeleteParams::default()).await;
        gone.expect("deleted");
        let ports = made.expect("made").spec.expect("a spec").ports;
        ports.expect("ports")[0].node_port.expect("a port")
    }

    /// With all hands, until this image of orders has proved itself.
    async fn until_passed(&self, image: &str) {
        self.reconcile_until("it passes", || async {
            self.finish_jobs().await;
            self.roll_all().await;
            let release = release(&self.status().await);
            let last = release.history.first();
            release.stage == ReleaseStage::Idle && last.is_some_and(|past| past.image == image)
        })
        .await;
    }
}

fn drift_of(status: &ShopStatus) -> &[String] {
    &orders(status).drift
}

#[tokio::test]
async fn what_makes_no_whole_with_the_rest_goes_back_with_all_that_was_left() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    harness.set_image(BY_HAND).await;
    harness.until_reported().await;
    // The Shop asks for the figures of another strategy.
    let recreate = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
    harness.edit::<Deployment>("demo-orders", recreate).await;
    harness
        .reconcile_until("the strategy is back", || async {
            let strategy = harness.strategy_of_orders().await;
            strategy.type_.as_deref() == Some("RollingUpdate")
        })
        .await;
    assert!(harness.strategy_of_orders().await.rolling_update.is_some());
    assert_eq!(harness.image_of_orders().await, OLD, "it has one");
    harness.until_quiet().await;
    assert_eq!(drift_of(&harness.status().await), [""; 0]);
    let told = harness.told("DriftReverted").await;
    let both = "Deployment demo-orders: what somebody else has set is taken back: kubectl-set: spec.strategy.type; \
                kubectl-set: spec.template.spec.containers[orders].image";
    assert_eq!(told, [both]);
}

#[tokio::test]
async fn a_variable_that_stays_is_not_lost_by_one_that_excludes_what_the_shop_asks_for() {
    let harness = Harness::new().await;
    let env = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    harness.settled("Report", json!({"env": env})).await;
    let edited = |variable: Value| in_container(json!({"env": [variable]}));
    let value = edited(json!({"name": "A", "value": "9"}));
    harness.edit::<Deployment>("demo-orders", value).await;
    harness
        .reconcile_until_status("it is listed", |status| !drift_of(status).is_empty())
        .await;
    let field = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    let from = edited(json!({"name": "B", "value": null, "valueFrom": field}));
    harness.edit::<Deployment>("demo-orders", from).await;
    harness
        .reconcile_until("B is back", || async {
            let b = harness.variable("B").await.expect("a variable");
            b.value_from.is_none() && b.value.as_deref() == Some("2")
        })
        .await;
    let a = harness.variable("A").await.expect("a variable");
    assert_eq!(
        a.value.as_deref(),
        Some("1"),
        "neither the edit nor nothing"
    );
    harness.until_quiet().await;
    assert_eq!(drift_of(&harness.status().await), [""; 0]);
    let told = harness.told("DriftReverted").await;
    let says = |what: &str| told.iter().any(|note| note.contains(what));
    assert!(says(
        "is taken back: kubectl-set: spec.template.spec.containers[orders].env[A].value"
    ));
    assert!(says(
        "is removed: kubectl-set: spec.template.spec.containers[orders].env[B].valueFrom"
    ));
}

#[tokio::test]
async fn the_type_of_a_service_goes_back_under_report_too() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    let port = harness.free_port().await;
    let mut reached = shop("Report", json!({}));
    reached["exposure"] = json!({"type": "NodePort", "nodePorts": {"orders": port}});
    harness.apply(reached).await;
    let wanted = (Some("NodePort".to_owned()), Some(port));
    harness
        .reconcile_until("it is reached", || async {
            harness.reached_at().await == wanted
        })
        .await;
    harness.until_quiet().await;
    let inside = json!({"spec": {"type": "ClusterIP"}});
    harness.edit::<Service>("demo-orders", inside).await;
    harness
        .reconcile_until("it is back", || async {
            harness.reached_at().await == wanted && !harness.told("DriftReverted").await.is_empty()
        })
        .await;
    harness.until_quiet().await;
    assert_eq!(drift_of(&harness.status().await), [""; 0]);
    // Others need ports too.
    harness.apply(shop("Report", json!({}))).await;
    harness
        .reconcile_until("the port is free again", || async {
            harness.reached_at().await.1.is_none()
        })
        .await;
}

#[tokio::test]
async fn what_stays_is_listed_where_an_object_is_not_written() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    harness.edit_orders().await;
    harness.edit_port().await;
    let listed = harness
        .reconcile_until_status("all are listed", |status| drift_of(status).len() == 3)
        .await;
    let refused = Failure {
        part: Part::Service("orders".into()),
        write: "Deployment demo-orders".into(),
        error: Error::Invalid("no".into()),
    };
    let withheld = Refusals::from_iter([&refused]);
    let shop = harness.shop().await;
    let pass = reconcile(&shop, &harness.context, &withheld, Timestamp::now());
    let done = Box::pin(pass).await.expect("a pass");
    assert!(done.failure.is_some(), "it was withheld");
    assert_eq!(drift_of(&harness.status().await), drift_of(&listed));
}

#[tokio::test]
async fn a_field_that_somebody_set_before_the_shop_did_is_no_edit_when_the_shop_changes_it() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    let images = ["2", "3"].map(|version| format!("registry.example/orders:{version}"));
    harness.set_image(&images[0]).await;
    harness
        .reconcile_until_status("it is listed", |status| !drift_of(status).is_empty())
        .await;
    for (version, image) in ["2", "3"].into_iter().zip(&images) {
        let wanted = shop("Report", json!({"version": version}));
        harness.apply(wanted).await;
        harness.until_passed(image).await;
        assert_eq!(harness.image_of_orders().await, *image);
    }
    assert_eq!(harness.told("DriftReverted").await, [""; 0]);
}

/// A Shop with this policy, and an operator that can be killed or held before a write.
async fn settled_and_dying(policy: &str) -> (Harness, Arc<Death>) {
    let death = Arc::<Death>::default();
    let harness = Harness::new().await;
    harness.settled(policy, json!({})).await;
    let harness = harness.dying(&death).await;
    harness.until_quiet().await;
    (harness, death)
}

#[tokio::test]
async fn what_took_the_name_of_an_edited_object_meanwhile_is_not_forced() {
    let (harness, death) = settled_and_dying("Enforce").await;
    harness.edit_port().await;
    // Before the question, which will be asked of another object.
    death.is_due(1);
    let meanwhile = async {
        death.comes().await;
        let services = harness.api::<Service>();
        let gone = services
            .delete("demo-orders", &DeleteParams::default())
            .await;
        gone.expect("deleted");
        let theirs = json!({"metadata": {"name": "demo-orders"}, "spec": {
            "selector": {"app": "theirs"}, "ports": [{"port": 8080, "targetPort": 9}],
        }});
        let theirs = serde_json::from_value(theirs).expect("a Service");
        let made = services.create(&PostParams::default(), &theirs).await;
        made.expect("made");
        death.was_asleep();
    };
    let refused = harness.reconcile_until_status("it is told", |status| {
        condition(status, "Ready").1 == "NameTaken"
    });
    tokio::join!(refused, meanwhile);
    let services = harness.api::<Service>();
    let theirs = services.get("demo-orders").await.expect("theirs");
    let selector = theirs.spec.and_then(|spec| spec.selector);
    assert_eq!(selector.expect("a selector")["app"], "theirs");
    assert!(theirs.metadata.labels.is_none(), "nothing of ours");
}

#[tokio::test]
async fn what_goes_back_is_told_though_the_operator_is_killed_before_it_writes_the_status() {
    let (harness, death) = settled_and_dying("Enforce").await;
    harness.set_image(BY_HAND).await;
    // After an apply without force, one more of a known version, one with force, and the event.
    death.is_due(5);
    tokio::select! {
        () = harness.reconcile_until("it is killed", || async { false }) => {}
        () = death.comes() => {}
    }
    assert_eq!(harness.image_of_orders().await, OLD);
    assert_eq!(harness.told("DriftReverted").await.len(), 1);
}

#[tokio::test]
async fn what_is_edited_between_the_question_and_the_force_is_not_taken_back_unseen() {
    let (harness, death) = settled_and_dying("Report").await;
    harness.set_image(BY_HAND).await;
    // Before the apply by force.
    death.is_due(3);
    let meanwhile = async {
        death.comes().await;
        let memory = json!({"resources": {"limits": {"memory": "512Mi"}}});
        harness
            .edit::<Deployment>("demo-orders", in_container(memory))
            .await;
        death.was_asleep();
    };
    let both =
        harness.reconcile_until_status("both are listed", |status| drift_of(status).len() == 2);
    tokio::join!(both, meanwhile);
    assert_eq!(harness.image_of_orders().await, BY_HAND);
}

#[tokio::test]
async fn pods_of_an_edited_image_are_no_good_pods_beside_which_a_canary_could_be() {
    let harness = Harness::new().await;
    let steps = json!([{"share": 25, "pause": "1s"}]);
    let with_canary = |version: &str| {
        let canary = json!({"steps": steps});
        shop(
            "Report",
            json!({"version": version, "replicas": 3, "canary": canary}),
        )
    };
    harness.apply(with_canary("1")).await;
    harness.bring_up().await;
    harness.set_image(BY_HAND).await;
    harness.until_reported().await;
    harness.pod_of_orders(container_runs()).await;
    harness
        .reconcile_until("its pod is seen", || async {
            let pods = &harness.context.cluster.pods;
            let pods = pods.of_shop(&harness.namespace, "demo");
            let mut images = pods.iter().filter_map(|pod| image_in(pod, "orders"));
            images.any(|image| image == BY_HAND)
        })
        .await;
    harness.apply(with_canary("2")).await;
    harness
        .reconcile_until("the release begins", || async {
            harness.finish_jobs().await;
            release(&harness.status().await).stage != ReleaseStage::Idle
        })
        .await;
    let begun = release(&harness.status().await);
    assert_eq!(begun.stage, ReleaseStage::Rolling);
    let why = begun.without_canary.expect("a reason");
    assert!(why.contains("no pod of the last good revision"), "{why}");
}

#[tokio::test]
async fn what_is_noted_of_a_revision_is_not_believed_of_the_next_one_though_somebody_keeps_it() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    let noted = harness.deployment_of_orders().await.annotations()[NOTE].clone();
    let kept = Patch::Apply(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "demo-orders", "annotations": {NOTE: noted}},
    }));
    let deployments = harness.api::<Deployment>();
    let params = PatchParams::apply("gitops");
    let kept = deployments.patch("demo-orders", &params, &kept).await;
    kept.expect("it owns it too");

    harness.apply(shop("Enforce", json!({}))).await;
    harness.until_quiet().await;
    let new = "registry.example/orders:2";
    harness
        .apply(shop("Enforce", json!({"version": "2"})))
        .await;
    harness.until_passed(new).await;
    harness.until_quiet().await;
    let live = harness.deployment_of_orders().await;
    assert_eq!(live.annotations()[NOTE], noted, "it is there for ever");
    let runs = running(&live).expect("an image");
    assert_eq!(runs.image, new);
}
