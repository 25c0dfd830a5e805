//! The kinds of objects that the operator makes for a Shop, without its own types: as a stranger's controller sees them.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
};
use kube::{
    Resource,
    core::{ApiResource, NamespaceResourceScope},
};

/// Selects what the operator made.
pub(crate) const SELECTOR: &str = "app.kubernetes.io/managed-by=shop-operator";
/// Holds the Shop's name, on what goes with the Shop.
pub(crate) const INSTANCE: &str = "app.kubernetes.io/instance";
/// Holds it on what outlives the Shop.
pub(crate) const OUTLIVING: &str = "shopkeeper.dev/shop";

/// Every kind of which each Shop has objects.
pub(crate) fn kinds() -> Vec<ApiResource> {
    vec![
        kind::<ServiceAccount>(),
        kind::<Service>(),
        kind::<NetworkPolicy>(),
        kind::<Secret>(),
        kind::<StatefulSet>(),
        kind::<Deployment>(),
        kind::<Job>(),
    ]
}

pub(crate) fn kind<K>() -> ApiResource
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    ApiResource::erase::<K>(&())
}
