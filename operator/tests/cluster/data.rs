//! Passwords and volumes: made once, kept, taken up again.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{apps::v1::StatefulSet, core::v1::Secret},
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

#[tokio::test]
async fn a_change_of_the_deletion_policy_gives_the_secrets_an_owner_and_takes_it_away() {
    let harness = Harness::new().await;
    let policy = |policy: &str| json!({"version": "1", "database": {"deletionPolicy": policy}});
    let owners = || async {
        harness
            .api::<Secret>()
            .get("demo-orders-db")
            .await
            .expect("a Secret")
            .owner_references()
            .len()
    };
    let retention = || async {
        let set = harness
            .api::<StatefulSet>()
            .get("demo-orders-db")
            .await
            .expect("a StatefulSet");
        set.spec
            .expect("a spec")
            .persistent_volume_claim_retention_policy
            .expect("a policy")
            .when_deleted
            .unwrap_or_default()
    };
    for (name, expected) in [("Retain", 0), ("Delete", 1), ("Retain", 0)] {
        harness.apply(policy(name)).await;
        harness
            .reconcile_until(name, || async {
                owners().await == expected && retention().await == name
            })
            .await;
    }
}

#[tokio::test]
async fn a_secret_that_was_spoilt_is_named() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let patch = Patch::Merge(json!({"data": {"password": null}}));
    harness
        .api::<Secret>()
        .patch("demo-orders-db", &PatchParams::default(), &patch)
        .await
        .expect("spoilt");
    let status = harness
        .reconcile_until_status("not Ready", |status| {
            condition(status, "Ready").0 == "False"
        })
        .await;
    let (_, reason, message) = condition(&status, "Ready");
    assert_eq!(reason, "Invalid");
    assert!(
        message.contains("Secret demo-orders-db has no key `password`"),
        "{message}"
    );
    assert_eq!(
        condition(&status, "DatabasesReady").0,
        "True",
        "what was known stays"
    );
}
