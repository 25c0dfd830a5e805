//! The ServiceAccount of a service: an identity without a token, but for pods of a service that looks after its Shop.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::{
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{labels::Component, names},
};

/// The ServiceAccount of a service.
pub fn service_account(shop: &ValidShop, service: &ValidService) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata::object(
            shop,
            names::service(&shop.name, &service.name),
            service.name.as_str(),
            Component::Service,
        ),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
