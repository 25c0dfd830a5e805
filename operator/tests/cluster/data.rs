//! Passwords and volumes: made once, kept, taken up again.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Secret,
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
