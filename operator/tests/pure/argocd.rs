//! What Argo CD makes of a Shop: `docs/argocd/health.lua`, run as it is.

use mlua::{Lua, LuaSerdeExt};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Debug, PartialEq)]
struct Health {
    status: String,
    message: String,
}

/// Argo CD gives a script the object, and these libraries at most.
fn health_of(shop: &Value) -> (String, String) {
    let libraries = mlua::StdLib::TABLE;
    let lua = Lua::new_with(libraries, mlua::LuaOptions::default()).expect("an interpreter");
    let options = mlua::SerializeOptions::new()
        .set_array_metatable(false)
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    let shop = lua.to_value_with(shop, options).expect("a table");
    lua.globals().set("obj", shop).expect("an object");
    let script = include_str!("../../../docs/argocd/health.lua");
    let health = lua.load(script).eval().expect("an answer");
    let Health { status, message } = lua.from_value(health).expect("a health");
    (status, message)
}

/// A Shop of generation 3 with these conditions, by type: status, reason.
fn shop(observed: i64, ready: (&str, &str), progressing: (&str, &str), services: Value) -> Value {
    let condition = |type_: &str, (status, reason): (&str, &str)| {
        json!({"type": type_, "status": status, "reason": reason,
            "message": format!("{type_} {reason}"), "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop",
        "metadata": {"name": "demo", "generation": 3},
        "status": {
            "observedGeneration": observed, "services": services,
            "conditions": [condition("Ready", ready), condition("Progressing", progressing)],
        },
    })
}

#[track_caller]
fn assert_health(shop: &Value, status: &str, message: &str) {
    assert_eq!(health_of(shop), (status.to_owned(), message.to_owned()));
}

const UNSEEN: &str = "the operator has not seen this Shop as it is now";

#[test]
fn what_the_operator_has_not_seen_is_on_its_way() {
    let new = json!({"metadata": {"name": "demo", "generation": 1}});
    assert_health(&new, "Progressing", UNSEEN);
    let empty = json!({"metadata": {"generation": 1}, "status": {}});
    assert_health(&empty, "Progressing", UNSEEN);
    let older = shop(2, ("True", "Running"), ("False", "Settled"), json!([]));
    assert_health(&older, "Progressing", UNSEEN);
}

#[test]
fn what_runs_as_asked_is_healthy() {
    let well = shop(3, ("True", "Running"), ("False", "Settled"), json!([]));
    assert_health(&well, "Healthy", "Ready Running");
}

#[test]
fn what_needs_time_alone_is_on_its_way() {
    let services = json!([{"name": "orders", "phase": "Rolling"}]);
    let rolls = shop(3, ("False", "Rolling"), ("True", "Working"), services);
    assert_health(&rolls, "Progressing", "Ready Rolling");
    let looked = shop(
        3,
        ("Unknown", "NotLookedAt"),
        ("Unknown", "NotLookedAt"),
        json!([]),
    );
    assert_health(&looked, "Progressing", "Ready NotLookedAt");
}

#[test]
fn what_waits_for_a_person_is_degraded() {
    let blocked = json!([
        {"name": "email", "phase": "Rolling"},
        {"name": "orders", "phase": "Failed", "blockedBy": {"reason": "TakenBack"}},
    ]);
    // Also while another service is on its way.
    for progressing in [("False", "Blocked"), ("True", "Working")] {
        let taken_back = shop(3, ("False", "TakenBack"), progressing, blocked.clone());
        assert_health(&taken_back, "Degraded", "Ready TakenBack");
    }
    let refused = shop(3, ("False", "Invalid"), ("False", "Blocked"), json!([]));
    assert_health(&refused, "Degraded", "Ready Invalid");
}

#[test]
fn what_somebody_holds_is_suspended() {
    for (reason, progressing) in [
        ("Held", ("False", "Blocked")),
        ("Held", ("True", "Working")),
        ("WaitsForPromotion", ("False", "Blocked")),
    ] {
        let mut held = shop(3, ("False", reason), progressing, json!([]));
        let conditions = held["status"]["conditions"].as_array_mut().expect("some");
        for type_ in ["DatabasesReady", "BrokerReady"] {
            conditions.push(json!({"type": type_, "status": "True"}));
        }
        assert_health(&held, "Suspended", &format!("Ready {reason}"));
        held["status"]["conditions"][3]["status"] = "False".into();
        let (status, _) = health_of(&held);
        assert_ne!(status, "Suspended", "the broker does not serve");
    }
}

#[test]
fn what_goes_is_on_its_way() {
    let mut goes = shop(3, ("True", "Running"), ("False", "Settled"), json!([]));
    goes["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_health(&goes, "Progressing", "the Shop is being deleted");
}
