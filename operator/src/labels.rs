//! The labels of everything the operator makes, and the names under which it writes.

use std::collections::BTreeMap;

/// The operator's name: the value of the label `app.kubernetes.io/managed-by` on what it makes, and of
/// `app.kubernetes.io/name` on its own pods.
pub const OPERATOR: &str = "shop-operator";
/// Says who made it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Holds the Shop's name.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Says which service it is, or `nats`.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Says what part it plays.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Says which version runs; on Deployments, Jobs and their pods alone.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// Selects what the operator made.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=shop-operator";

/// The Shop's name on objects that outlive it. Tools that track what they manage by `app.kubernetes.io/instance` (Argo CD) would
/// take an object with that label and without an owner for one of their own, and prune it.
pub const SHOP_LABEL: &str = "shopkeeper.dev/shop";

/// The Shop that an object belongs to.
pub fn shop_of(labels: &BTreeMap<String, String>) -> Option<&str> {
    let shop = labels
        .get(SHOP_LABEL)
        .or_else(|| labels.get(INSTANCE_LABEL))?;
    Some(shop)
}
