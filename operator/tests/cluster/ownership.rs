//! What belongs to somebody else, and what somebody else does to what is ours.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shop_operator::progress::decide::image_of;

use crate::harness::{Harness, condition};

impl Harness {
    /// Somebody makes an object.
    async fn made_by_somebody<K>(&self, object: Value) -> K
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        let params = PostParams {
            field_manager: Some("somebody".into()),
            ..PostParams::default()
        };
        self.api::<K>()
            .create(&params, &object)
            .await
            .expect("made")
    }

    /// `kubectl set` and `kubectl edit`.
    pub(crate) async fn edit<K>(&self, name: &str, patch: Value)
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let params = PatchParams {
            field_manager: Some("kubectl-set".into()),
            ..PatchParams::default()
        };
        let api: Api<K> = self.api();
        api.patch(name, &params, &Patch::Strategic(patch))
            .await
            .expect("edited");
    }

    async fn orders(&self) -> Deployment {
        self.api::<Deployment>()
            .get("demo-orders")
            .await
            .expect("a Deployment")
    }
}

/// A change of the container of orders.
pub(crate) fn in_container(fields: Value) -> Value {
    let mut container = json!({"name": "orders"});
    container
        .as_object_mut()
        .expect("an object")
        .extend(fields.as_object().expect("an object").clone());
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone_and_named_with_the_ways_out() {
    let harness = Harness::new().await;
    let service: Service = harness
        .made_by_somebody(json!({
            "metadata": {"name": "demo-nats"},
            "spec": {"selector": {"app": "other"}, "ports": [{"port": 4222}]},
        }))
        .await;
    let secret: Secret = harness
        .made_by_somebody(
            json!({"metadata": {"name": "demo-orders-db"}, "stringData": {"password": "mine"}}),
        )
        .await;
    harness.apply(json!({"version": "1"})).await;
    for _ in 0..2 {
        harness.reconcile().await.expect_err("a name is taken");
    }
    let status = harness.status().await;
    let (ready, reason, message) = condition(&status, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "NameTaken"));
    assert!(
        message.contains("Secret demo-orders-db exists and does not belong to this Shop")
            && message.contains("shopkeeper.dev/adopt=true"),
        "{message}"
    );
    assert_eq!(
        harness
            .api::<Service>()
            .get("demo-nats")
            .await
            .expect("there"),
        service
    );
    assert_eq!(
        harness
            .api::<Secret>()
            .get("demo-orders-db")
            .await
            .expect("there"),
        secret
    );
}

#[tokio::test]
async fn a_deployment_of_somebody_else_holds_up_its_service_alone() {
    let harness = Harness::new().await;
    let labels = json!({"app": "other"});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    let theirs: Deployment = harness
        .made_by_somebody(json!({
            "metadata": {"name": "demo-orders"},
            "spec": {"selector": {"matchLabels": labels}, "template": pod},
        }))
        .await;
    harness.apply(json!({"version": "1"})).await;
    harness.reconcile().await.expect("a reconcile");
    harness.start_stores().await;
    harness
        .reconcile_until_status("the name is taken", |status| {
            condition(status, "Ready").1 == "NameTaken"
        })
        .await;
    assert_eq!(harness.orders().await, theirs);
    assert!(
        harness
            .api::<Deployment>()
            .get_opt("demo-users")
            .await
            .expect("an answer")
            .is_some()
    );
}

#[tokio::test]
async fn an_object_that_is_handed_over_is_taken_with_its_other_owners() {
    let harness = Harness::new().await;
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "00000000-0000-0000-0000-000000000001"});
    harness
        .made_by_somebody::<Service>(json!({
            "metadata": {"name": "demo-nats", "annotations": {"shopkeeper.dev/adopt": "true"}, "ownerReferences": [other]},
            "spec": {"selector": {"app": "other"}, "ports": [{"name": "nats", "port": 4222}]},
        }))
        .await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let service = harness
        .api::<Service>()
        .get("demo-nats")
        .await
        .expect("a Service");
    assert_eq!(service.owner_references().len(), 2);
    let selector = service.spec.expect("a spec").selector.expect("a selector");
    assert_eq!(selector["app.kubernetes.io/component"], "broker");
}

#[tokio::test]
async fn what_excludes_a_field_of_ours_is_taken_back_and_said_with_a_name() {
    let harness = Harness::new().await;
    harness
        .apply(json!({"version": "1", "services": {"orders": {"replicas": 2}}}))
        .await;
    harness.bring_up().await;
    let edits = [
        in_container(json!({"env": [{"name": "LOG", "value": "trace"}]})),
        in_container(json!({"resources": {"limits": {"cpu": "50m"}}})),
        in_container(json!({"readinessProbe": {"tcpSocket": {"port": 8080}, "httpGet": null}})),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        harness
            .edit::<Deployment>("demo-orders", edit.clone())
            .await;
        // A new version must arrive all the same.
        let image = format!("other.example/orders:{number}");
        // The second time more than the limit that somebody has just set.
        let cpu = if number == 1 { "100m" } else { "20m" };
        let resources = json!({"requests": {"cpu": cpu}});
        let orders = json!({"replicas": 2, "image": image, "resources": resources});
        harness
            .apply(json!({"version": "1", "services": {"orders": orders}}))
            .await;
        harness
            .reconcile_until("healed", || async {
                harness.finish_jobs().await;
                image_of(&harness.orders().await) == Some(image.as_str())
            })
            .await;
    }
    harness
        .edit::<PodDisruptionBudget>(
            "demo-orders",
            json!({"spec": {"minAvailable": 1, "maxUnavailable": null}}),
        )
        .await;
    harness
        .reconcile_until("the budget is healed", || async {
            let budget = harness
                .api::<PodDisruptionBudget>()
                .get("demo-orders")
                .await;
            let spec = budget.expect("a budget").spec.expect("a spec");
            spec.min_available.is_none() && spec.max_unavailable.is_some()
        })
        .await;
    let events = harness.list::<k8s_openapi::api::events::v1::Event>().await;
    assert!(
        events.iter().any(|event| {
            event.reason.as_deref() == Some("DriftReverted")
                && event
                    .note
                    .as_deref()
                    .unwrap_or_default()
                    .contains("kubectl-set")
        }),
        "{events:#?}"
    );
}

#[tokio::test]
async fn a_secret_in_place_of_a_plain_value_is_healed_too() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    // `kubectl set env`: a value beside our reference, which the API server refuses in every later apply.
    let params = PatchParams {
        field_manager: Some("kubectl-set".into()),
        ..PatchParams::default()
    };
    let position = harness
        .orders()
        .await
        .spec
        .expect("a spec")
        .template
        .spec
        .expect("a pod")
        .containers[0]
        .env
        .as_ref()
        .expect("variables")
        .iter()
        .position(|variable| variable.name == "DATABASE_URL")
        .expect("there");
    let mut orders = harness.orders().await;
    let variables = orders
        .spec
        .as_mut()
        .expect("a spec")
        .template
        .spec
        .as_mut()
        .expect("a pod")
        .containers[0]
        .env
        .as_mut();
    let variable = &mut variables.expect("variables")[position];
    (variable.value, variable.value_from) = (Some("x".into()), None);
    orders.metadata.managed_fields = None;
    let replace = PostParams {
        field_manager: params.field_manager,
        ..PostParams::default()
    };
    harness
        .api::<Deployment>()
        .replace("demo-orders", &replace, &orders)
        .await
        .expect("set");
    harness
        .reconcile_until("healed", || async {
            let pod = harness
                .orders()
                .await
                .spec
                .expect("a spec")
                .template
                .spec
                .expect("a pod");
            let variables = pod.containers[0].env.clone().expect("variables");
            let found = variables
                .iter()
                .find(|variable| variable.name == "DATABASE_URL")
                .expect("there");
            found.value.is_none() && found.value_from.is_some()
        })
        .await;
}

#[tokio::test]
async fn a_variable_that_somebody_adds_stays_and_is_named() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let added = in_container(json!({"env": [{"name": "EXTRA", "value": "1"}]}));
    harness.edit::<Deployment>("demo-orders", added).await;
    let named = |status: &shop_operator::api::ShopStatus| {
        let orders = status
            .services
            .iter()
            .find(|service| service.name == "orders");
        orders.is_some_and(|orders| {
            orders.foreign == ["Deployment demo-orders: kubectl-set: spec.template.spec.containers[orders].env[EXTRA]"]
        })
    };
    harness.reconcile_until_status("named", named).await;
}

#[tokio::test]
async fn a_settled_operator_that_is_restarted_writes_nothing_and_asks_no_database() {
    let harness = Harness::new().await;
    let limits = json!({"limits": {"cpu": "0.5", "memory": "1024Mi"}});
    harness
        .apply(json!({"version": "1", "services": {"users": {"replicas": 2, "resources": limits}, "search": {"autoscaling": {"maxReplicas": 3}}}}))
        .await;
    harness.bring_up().await;
    let (status, versions, sent) = (
        harness.status().await,
        harness.versions().await,
        harness.requests().len(),
    );
    let restarted = harness.restarted().await;
    let done = restarted.reconcile().await.expect("a reconcile");
    assert!(done.settled);
    assert_eq!(restarted.requests().split_off(sent), []);
    assert_eq!(
        (restarted.status().await, restarted.versions().await),
        (status, versions)
    );
}

#[tokio::test]
async fn what_was_edited_while_the_operator_was_away_is_healed() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    harness
        .edit::<Service>(
            "demo-users",
            json!({"spec": {"selector": {"app.kubernetes.io/name": "other"}}}),
        )
        .await;
    let restarted = harness.restarted().await;
    restarted
        .reconcile_until("healed", || async {
            let service = restarted
                .api::<Service>()
                .get("demo-users")
                .await
                .expect("a Service");
            service.spec.expect("a spec").selector.expect("a selector")["app.kubernetes.io/name"]
                == "users"
        })
        .await;
}

/// A selector is one value: whoever adds a key to it has set all of it.
#[tokio::test]
async fn a_key_that_somebody_adds_to_a_selector_goes_again() {
    let harness = Harness::new().await;
    harness
        .apply(json!({"version": "1", "services": {"users": {"replicas": 2}}}))
        .await;
    harness.bring_up().await;
    let added = json!({"tier": "front"});
    let labels = json!({"matchLabels": added});
    harness
        .edit::<Service>("demo-users", json!({"spec": {"selector": added}}))
        .await;
    harness
        .edit::<NetworkPolicy>("demo-users", json!({"spec": {"podSelector": labels}}))
        .await;
    harness
        .edit::<PodDisruptionBudget>("demo-users", json!({"spec": {"selector": labels}}))
        .await;
    let selectors = async || {
        let service = harness.api::<Service>().get("demo-users").await;
        let policy = harness.api::<NetworkPolicy>().get("demo-users").await;
        let budget = harness.api::<PodDisruptionBudget>().get("demo-users").await;
        json!([
            service.expect("a Service").spec.expect("a spec").selector,
            policy.expect("a policy").spec.expect("a spec").pod_selector,
            budget.expect("a budget").spec.expect("a spec").selector,
        ])
        .to_string()
    };
    assert_eq!(selectors().await.matches("front").count(), 3);
    harness
        .reconcile_until("healed", || async { !selectors().await.contains("front") })
        .await;
}

#[tokio::test]
async fn jobs_that_lost_their_shop_belong_to_the_next_one() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    // `kubectl delete --cascade=orphan`, and the Shop applied again: nothing has an owner.
    let orphan = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    for job in harness.list::<Job>().await {
        harness
            .api::<Job>()
            .patch(&job.name_any(), &PatchParams::default(), &orphan)
            .await
            .expect("orphaned");
    }
    harness
        .reconcile_until("every Job has an owner again", || async {
            harness
                .list::<Job>()
                .await
                .iter()
                .all(|job| job.owner_references().len() == 1)
        })
        .await;
    assert_eq!(harness.list::<Job>().await.len(), 5);
}

#[tokio::test]
async fn another_default_of_the_operator_changes_no_database_and_another_major_version_is_refused()
{
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let sent = harness.requests().len();
    let mut restarted = harness.restarted().await;
    restarted.context.config.postgres_image = "postgres:18".into();
    restarted.context.config.nats_image = "nats:3".into();
    restarted.reconcile().await.expect("a reconcile");
    assert_eq!(restarted.requests().split_off(sent), []);

    restarted
        .apply(json!({"version": "1", "images": {"postgres": "postgres:18"}}))
        .await;
    restarted.reconcile().await.expect("a reconcile");
    let (_, reason, message) = condition(&restarted.status().await, "DatabasesReady");
    assert_eq!(reason, "MajorVersion");
    assert!(message.contains("stays at postgres:17"), "{message}");
    let set = restarted
        .api::<StatefulSet>()
        .get("demo-users-db")
        .await
        .expect("a StatefulSet");
    let pod = set.spec.expect("a spec").template.spec.expect("a pod");
    assert_eq!(pod.containers[0].image.as_deref(), Some("postgres:17"));
}
