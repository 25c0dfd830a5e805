use serde_json::{Value, json};
use shop_operator::api::Shop;
use shopctl::{approve::waiting, failure::Failure};

fn shop(held: &[(&str, Value)]) -> Shop {
    let release =
        |(name, held): &(&str, Value)| json!({"name": name, "stage": "Idle", "held": held});
    let service = |name: &str| json!({"name": name, "phase": "Running"});
    let releases: Vec<_> = held.iter().map(release).collect();
    let services = ["email", "orders", "users"].map(service);
    serde_json::from_value(json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"},
        "spec": {"version": "1"},
        "status": {"services": services, "releases": releases},
    }))
    .expect("a Shop")
}

#[test]
fn what_waits_is_approved_with_the_operator_whose_update_it_is() {
    let update =
        |operator: &str| json!({"reason": "OperatorUpdate", "message": "x", "approval": operator});
    let pause = json!({"reason": "Paused", "message": "x"});
    let shop = shop(&[
        ("email", pause),
        ("orders", update("0a")),
        ("users", update("0a")),
    ]);
    let all = waiting(&shop, None).expect("some");
    assert_eq!(all, [("orders", "0a"), ("users", "0a")]);
    let one = waiting(&shop, Some("users")).expect("one");
    assert_eq!(one, [("users", "0a")]);
    let refused = |service: &str| waiting(&shop, Some(service)).unwrap_err();
    assert!(
        matches!(refused("email"), Failure::Refused(text) if text == "no update of the operator waits for email")
    );
    assert!(matches!(refused("nobody"), Failure::Absent(_)));
}

#[test]
fn where_nothing_waits_nothing_is_approved() {
    let failure = waiting(&shop(&[]), None).unwrap_err();
    assert!(matches!(failure, Failure::Refused(text) if text == "no update of the operator waits"));
}
