//! Passwords and volumes: made once, kept, taken up again.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Secret},
    },
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use shop_operator::api::Shop;

use crate::harness::{Harness, condition};

impl Harness {
    async fn contents(&self) -> BTreeMap<String, BTreeMap<String, ByteString>> {
        let secrets = self.list::<Secret>().await;
        secrets
            .into_iter()
            .map(|secret| (secret.name_any(), secret.data.unwrap_or_default()))
            .collect()
    }
}

impl Harness {
    async fn spoil(&self, secret: &str, key: &str) {
        let patch = Patch::Merge(json!({"data": {key: null}}));
        self.api::<Secret>()
            .patch(secret, &PatchParams::default(), &patch)
            .await
            .expect("spoilt");
    }
}

#[tokio::test]
async fn passwords_are_made_once() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let before = harness.contents().await;
    harness
        .apply(json!({"version": "2", "services": {"users": {"replicas": 2}}}))
        .await;
    harness.reconcile().await.expect("a reconcile");
    let restarted = harness.restarted().await;
    restarted.reconcile().await.expect("a reconcile");
    assert_eq!(restarted.contents().await, before);
}

#[tokio::test]
async fn a_shop_of_the_same_name_takes_the_passwords_up_again() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let before = harness.contents().await;
    harness
        .api::<Shop>()
        .delete("demo", &DeleteParams::default())
        .await
        .expect("deleted");
    // The garbage collector: everything that the Shop owned goes.
    for secret in harness
        .list::<Secret>()
        .await
        .iter()
        .filter(|secret| !secret.owner_references().is_empty())
    {
        harness
            .api::<Secret>()
            .delete(&secret.name_any(), &DeleteParams::default())
            .await
            .expect("deleted");
    }
    harness
        .api::<StatefulSet>()
        .delete_collection(&DeleteParams::default(), &Default::default())
        .await
        .expect("deleted");

    let again = harness.apply(json!({"version": "1"})).await;
    harness
        .reconcile_until("six StatefulSets of the new Shop", || async {
            let sets = harness.list::<StatefulSet>().await;
            sets.len() == 6
                && sets
                    .iter()
                    .all(|set| Some(&set.owner_references()[0].uid) == again.metadata.uid.as_ref())
        })
        .await;
    let after = harness.contents().await;
    for (name, data) in before
        .iter()
        .filter(|(name, _)| name.contains("-db") || name.ends_with("-keys"))
    {
        assert_eq!(after.get(name), Some(data), "{name}");
    }
    assert_ne!(
        after.get("demo-orders-broker"),
        before.get("demo-orders-broker"),
        "logins at the broker are the Shop's own"
    );
}

fn policy(policy: &str) -> serde_json::Value {
    json!({"version": "1", "database": {"deletionPolicy": policy}})
}

impl Harness {
    pub(crate) async fn delete_shop(&self) {
        self.api::<Shop>()
            .delete("demo", &DeleteParams::default())
            .await
            .expect("deleted");
    }

    /// Names of claims and of Secrets without an owner.
    pub(crate) async fn data(&self) -> Vec<String> {
        let claims = self.list::<PersistentVolumeClaim>().await;
        let goes = |claim: &PersistentVolumeClaim| claim.metadata.deletion_timestamp.is_some();
        let secrets = self.list::<Secret>().await;
        let secrets = secrets
            .iter()
            .filter(|secret| secret.owner_references().is_empty());
        let claims = claims
            .iter()
            .filter(|claim| !goes(claim))
            .map(ResourceExt::name_any);
        claims.chain(secrets.map(ResourceExt::name_any)).collect()
    }

    pub(crate) async fn shop_exists(&self) -> bool {
        self.api::<Shop>()
            .get_opt("demo")
            .await
            .expect("an answer")
            .is_some()
    }
}

#[tokio::test]
async fn a_volume_stays_when_its_stateful_set_is_deleted_whatever_the_policy() {
    let harness = Harness::new().await;
    for name in ["Retain", "Delete"] {
        harness.apply(policy(name)).await;
        harness.reconcile().await.expect("a reconcile");
        for set in harness.list::<StatefulSet>().await {
            let spec = set.spec.expect("a spec");
            let retention = spec
                .persistent_volume_claim_retention_policy
                .expect("a policy");
            assert_eq!(retention.when_deleted.as_deref(), Some("Retain"), "{name}");
        }
    }
}

#[tokio::test]
async fn data_go_with_the_shop_where_it_says_delete() {
    let harness = Harness::new().await;
    harness.apply(policy("Delete")).await;
    harness.bring_up().await;
    assert!(harness.data().await.len() > 6);
    harness.delete_shop().await;
    assert!(harness.shop_exists().await, "the finalizer holds it");
    harness.finalize().await;
    assert_eq!(harness.data().await, Vec::<String>::new());
    assert!(!harness.shop_exists().await);
}

#[tokio::test]
async fn a_shop_that_said_delete_and_then_retain_keeps_its_data_though_no_operator_saw_it() {
    let harness = Harness::new().await;
    harness.apply(policy("Delete")).await;
    harness.bring_up().await;
    let before = harness.data().await;
    // The operator is away.
    harness.apply(policy("Retain")).await;
    harness.delete_shop().await;
    let harness = harness.restarted().await;
    harness.finalize().await;
    assert_eq!(harness.data().await, before);
    assert!(!harness.shop_exists().await);
}

#[tokio::test]
async fn a_shop_that_said_retain_and_then_delete_keeps_its_data_unless_an_operator_saw_it() {
    let harness = Harness::new().await;
    harness.apply(policy("Retain")).await;
    harness.bring_up().await;
    let before = harness.data().await;
    // The operator is away.
    harness.apply(policy("Delete")).await;
    harness.delete_shop().await;
    assert!(!harness.shop_exists().await, "nothing holds it");
    assert_eq!(harness.data().await, before);
}

#[tokio::test]
async fn the_finalizer_is_there_exactly_while_the_policy_is_delete() {
    let harness = Harness::new().await;
    for (name, expected) in [("Retain", 0), ("Delete", 1), ("Retain", 0)] {
        harness.apply(policy(name)).await;
        harness.reconcile().await.expect("a reconcile");
        assert_eq!(harness.shop().await.finalizers().len(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_password_that_somebody_changed_is_followed() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    for secret in ["demo-orders-db", "demo-orders-broker"] {
        let settings = || async {
            let orders = harness
                .api::<Deployment>()
                .get("demo-orders")
                .await
                .expect("a Deployment");
            let template = orders
                .spec
                .expect("a spec")
                .template
                .metadata
                .expect("metadata");
            template.annotations.expect("annotations")["shopkeeper.dev/settings"].clone()
        };
        let before = settings().await;
        let patch = Patch::Merge(json!({"stringData": {"password": "another/one"}}));
        harness
            .api::<Secret>()
            .patch(secret, &PatchParams::default(), &patch)
            .await
            .expect("changed");
        harness
            .reconcile_until("the address follows, and the pods roll", || async {
                let data = &harness.contents().await[secret];
                let url = String::from_utf8(data["url"].0.clone()).expect("text");
                url.contains(":another%2Fone@") && settings().await != before
            })
            .await;
    }
}

#[tokio::test]
async fn keys_that_an_older_operator_did_not_write_are_added_and_no_password_changes() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let before = harness.contents().await;
    for (secret, key) in [
        ("demo-orders-db", "port"),
        ("demo-orders-broker", "username"),
    ] {
        harness.spoil(secret, key).await;
    }
    harness
        .reconcile_until("all is as it was", || async {
            harness.contents().await == before
        })
        .await;
}

#[tokio::test]
async fn what_outlives_the_shop_has_no_label_by_which_other_tools_prune() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let secrets = harness.list::<Secret>().await;
    let claims = harness.list::<PersistentVolumeClaim>().await;
    let secrets = secrets
        .iter()
        .filter(|secret| secret.owner_references().is_empty());
    let labels = secrets
        .map(|secret| secret.labels())
        .chain(claims.iter().map(|claim| claim.labels()));
    for labels in labels {
        assert!(
            !labels.contains_key("app.kubernetes.io/instance"),
            "{labels:?}"
        );
        assert_eq!(labels["shopkeeper.dev/shop"], "demo");
    }
}

#[tokio::test]
async fn a_volume_that_was_replaced_is_migrated_again_and_the_shop_is_not_ready_until_then() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let claims = harness.api::<PersistentVolumeClaim>();
    let name = "data-demo-users-db-0";
    let old = claims.get(name).await.expect("a claim");
    claims
        .delete(name, &DeleteParams::default())
        .await
        .expect("deleted");
    // Its pod has ended: the controller that protects claims lets it go, and the StatefulSet controller makes a new one.
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    claims
        .patch(name, &PatchParams::default(), &free)
        .await
        .expect("let go");
    let set = harness
        .api::<StatefulSet>()
        .get("demo-users-db")
        .await
        .expect("a StatefulSet");
    crate::harness::make_claim(&claims, &set).await;
    let new = claims.get(name).await.expect("a claim");
    assert_ne!(new.uid(), old.uid());
    harness
        .reconcile_until("a Job for the new volume", || async {
            harness
                .list::<Job>()
                .await
                .iter()
                .any(|job| job.annotations().get("shopkeeper.dev/claim") == new.uid().as_ref())
        })
        .await;
    let status = harness.status().await;
    assert_eq!(condition(&status, "Ready").0, "False", "{status:#?}");
    harness.finish_jobs().await;
    harness
        .reconcile_until_status("Ready again", crate::harness::is_ready)
        .await;
}

#[tokio::test]
async fn a_claim_that_is_deleted_under_its_pod_is_named() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let claims = harness.api::<PersistentVolumeClaim>();
    // As the cluster's own protection of claims in use does.
    let held = Patch::Merge(json!({"metadata": {"finalizers": ["test/held"]}}));
    let (name, params) = ("data-demo-users-db-0", PatchParams::default());
    claims.patch(name, &params, &held).await.expect("held");
    claims
        .delete(name, &DeleteParams::default())
        .await
        .expect("deleted");
    let status = harness
        .reconcile_until_status("not Ready", |status| {
            condition(status, "Ready").0 == "False"
        })
        .await;
    let (_, reason, message) = condition(&status, "DatabasesReady");
    assert_eq!(reason, "VolumeDeleted");
    assert!(message.contains(name), "{message}");
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    claims.patch(name, &params, &free).await.expect("let go");
}

#[tokio::test]
async fn a_database_login_that_was_spoilt_is_named_and_holds_up_its_service_alone() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    harness.spoil("demo-orders-db", "password").await;
    let status = harness
        .reconcile_until_status("not Ready", |status| {
            condition(status, "Ready").0 == "False"
        })
        .await;
    let (_, reason, message) = condition(&status, "Ready");
    assert_eq!(reason, "SecretIncomplete");
    assert!(
        message.contains("Secret demo-orders-db has no key `password`")
            && message.contains("from a backup"),
        "{message}"
    );
    assert_eq!(condition(&status, "BrokerReady").0, "True");
    // The others go on.
    harness
        .apply(json!({"version": "1", "services": {"users": {"replicas": 2}}}))
        .await;
    harness
        .reconcile_until("users gets its second pod", || async {
            let users = harness.api::<Deployment>().get("demo-users").await;
            users
                .expect("a Deployment")
                .spec
                .and_then(|spec| spec.replicas)
                == Some(2)
        })
        .await;
}

#[tokio::test]
async fn a_key_that_got_lost_is_made_anew_and_the_others_stay() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let before = harness.contents().await["demo-users-keys"].clone();
    harness.spoil("demo-users-keys", "ADMIN_PASSWORD").await;
    harness
        .reconcile_until("the key is there again", || async {
            harness.contents().await["demo-users-keys"].contains_key("ADMIN_PASSWORD")
        })
        .await;
    let after = harness.contents().await["demo-users-keys"].clone();
    assert_eq!(after["SIGNING_SEED"], before["SIGNING_SEED"]);
    assert_ne!(after["ADMIN_PASSWORD"], before["ADMIN_PASSWORD"]);
}
