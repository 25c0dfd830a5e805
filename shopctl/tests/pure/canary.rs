use serde_json::{Value, json};
use shop_operator::api::Shop;
use shopctl::{
    canary::{abortable, promotable},
    failure::Failure,
};

/// A Shop whose orders has this release.
fn shop(release: Value) -> Shop {
    let mut orders = json!({"name": "orders", "stage": "Idle", "revision": "0a"});
    for (field, value) in release.as_object().expect("fields") {
        orders[field] = value.clone();
    }
    let service = |name: &str| json!({"name": name, "phase": "Rolling"});
    serde_json::from_value(json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"},
        "spec": {"version": "1"},
        "status": {"services": [service("orders"), service("users")], "releases": [orders]},
    }))
    .expect("a Shop")
}

fn canary(progress: &str) -> Shop {
    shop(json!({"stage": "Canary", "canary": {"step": 2, "progress": progress}}))
}

#[track_caller]
fn refused(result: Result<&str, Failure>, sentence: &str) {
    match result {
        Err(Failure::Refused(text)) => assert_eq!(text, sentence),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_canary_that_waits_is_promoted_and_whatever_else_there_is_is_said() {
    assert_eq!(
        promotable(&canary("Waiting"), "orders").expect("waits"),
        "0a"
    );
    refused(
        promotable(&canary("Starting"), "orders"),
        "the canary of orders does not wait to be promoted: the pods of its step 2 are not ready yet",
    );
    refused(
        promotable(&canary("Passing"), "orders"),
        "the canary of orders does not wait to be promoted: its step 2 is over by itself when its pause is",
    );
    for (stage, how_far) in [
        ("Idle", "no release of it is under way"),
        (
            "Rolling",
            "all of its pods are being replaced, or are already",
        ),
        ("Gate", "all of its pods are being replaced, or are already"),
        ("TakenBack", "its release has failed"),
        ("Stopped", "its release has failed"),
    ] {
        let shop = shop(json!({"stage": stage}));
        let sentence = format!("orders has no canary: {how_far}");
        refused(promotable(&shop, "orders"), &sentence);
        refused(abortable(&shop, "orders"), &sentence);
    }
    refused(
        promotable(&canary("Waiting"), "users"),
        "users has no canary: no release of it is under way",
    );
    let waits = canary("Waiting");
    let unknown = promotable(&waits, "shipping");
    assert!(matches!(unknown, Err(Failure::Absent(text)) if text.contains("no service shipping")));
}

#[test]
fn a_canary_is_aborted_at_whichever_step_it_is() {
    for progress in ["Starting", "Passing", "Waiting"] {
        assert_eq!(abortable(&canary(progress), "orders").expect("one"), "0a");
    }
}
