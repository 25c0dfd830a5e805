//! What is generated and checked in is what the code would generate now.

use kube::CustomResourceExt;
use shop_operator::{api::Shop, docs};

#[test]
fn the_checked_in_crd_is_current() {
    assert!(
        docs::crd_yaml().expect("YAML") == include_str!("../../../crds/shops.yaml"),
        "run: cargo run -p shop-operator -- crd > crds/shops.yaml"
    );
}

#[test]
fn the_checked_in_reference_is_current() {
    assert!(
        docs::markdown(&Shop::crd()) == include_str!("../../../docs/shop-api.md"),
        "run: cargo run -p shop-operator -- docs > docs/shop-api.md"
    );
}

#[test]
fn the_example_is_a_valid_shop() {
    let text = include_str!("../../../examples/shop.yaml");
    let (_, shop) = text.split_once("---\n").expect("a Namespace and a Shop");
    let shop: Shop = serde_yaml::from_str(shop).expect("a Shop");
    shop_operator::validate::validate(&shop, &crate::fixtures::config()).expect("a valid Shop");
}
