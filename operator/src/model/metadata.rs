//! Names, labels and owners: the one place where metadata is made.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::{ResourceExt, api::ObjectMeta};

use crate::{
    model::validate::ValidShop,
    naming::{
        labels::Component,
        labels::{
            COMPONENT_LABEL, INSTANCE_LABEL, MANAGED_BY_LABEL, NAME_LABEL, OPERATOR, SHOP_LABEL,
        },
    },
};

/// Metadata of an object that goes with the Shop.
pub fn object(shop: &ValidShop, name: String, app: &str, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(shop.namespace.clone()),
        labels: Some(labels(shop, app, component)),
        owner_references: Some(vec![shop.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Metadata of an object that outlives the Shop: without an owner, and under a label that no other tool reads.
pub fn outliving(shop: &ValidShop, name: String, app: &str, component: Component) -> ObjectMeta {
    let mut labels = labels(shop, app, component);
    labels.remove(INSTANCE_LABEL);
    labels.insert(SHOP_LABEL.into(), shop.name.clone());
    ObjectMeta {
        labels: Some(labels),
        owner_references: None,
        ..object(shop, name, app, component)
    }
}

/// All labels but the version.
pub fn labels(shop: &ValidShop, app: &str, component: Component) -> BTreeMap<String, String> {
    let mut labels = identity(shop, app, component);
    labels.insert("app.kubernetes.io/part-of".into(), "shop".into());
    labels.insert(MANAGED_BY_LABEL.into(), OPERATOR.into());
    labels
}

/// The labels that never change and by which pods are found.
pub fn identity(shop: &ValidShop, app: &str, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAME_LABEL.into(), app.into()),
        (INSTANCE_LABEL.into(), shop.name.clone()),
        (COMPONENT_LABEL.into(), component.as_str().into()),
    ])
}

/// Selects pods by their identity.
pub fn selector(shop: &ValidShop, app: &str, component: Component) -> LabelSelector {
    LabelSelector {
        match_labels: Some(identity(shop, app, component)),
        match_expressions: None,
    }
}

/// Selects the pods of several components of one app.
pub fn selector_of(shop: &ValidShop, app: &str, components: &[Component]) -> LabelSelector {
    let mut match_labels = identity(shop, app, Component::Service);
    match_labels.remove(COMPONENT_LABEL);
    LabelSelector {
        match_labels: Some(match_labels),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: COMPONENT_LABEL.into(),
            operator: "In".into(),
            values: Some(
                components
                    .iter()
                    .map(|component| component.as_str().to_owned())
                    .collect(),
            ),
        }]),
    }
}

/// This Shop's, and not on its way already.
pub fn is_ours(shop: &ValidShop, object: &impl ResourceExt) -> bool {
    let owners = object.owner_references().iter();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    // One without an owner was left behind by a deletion that spares dependents, or holds data.
    let is_owner = controllers.all(|owner| owner.uid == shop.owner.uid);
    is_owner && object.meta().deletion_timestamp.is_none()
}
