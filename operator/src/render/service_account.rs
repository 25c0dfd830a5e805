//! The ServiceAccount of a service: an identity without a token, because no service talks to the API server.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::{
    catalogue::ServiceName,
    meta::{self, Component},
    names,
    validate::ValidShop,
};

/// The ServiceAccount of a service.
pub fn service_account(shop: &ValidShop, service: ServiceName) -> ServiceAccount {
    ServiceAccount {
        metadata: meta::object(
            shop,
            names::service(&shop.name, service),
            service.as_str(),
            Component::Service,
        ),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
