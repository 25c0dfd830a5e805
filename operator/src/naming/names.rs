//! What the objects of a Shop are called. The longest, `<30 characters>-<15 characters>-migrate-<8>`, has all 63 that
//! are allowed.

use std::{borrow::Borrow, fmt};

/// The stream of all events.
pub const STREAM: &str = "SHOP";
/// The container that migrates.
pub const MIGRATION_CONTAINER: &str = "migrate";

/// The name of a service: in images, objects, databases and logins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(String);

impl ServiceName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ServiceName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Deployment, Service, ServiceAccount, PodDisruptionBudget, HorizontalPodAutoscaler and NetworkPolicy of a service.
pub fn service(shop: &str, service: &ServiceName) -> String {
    format!("{shop}-{service}")
}

/// The Deployment of a service's canary. No service has this name: it is reserved.
pub fn canary(shop: &str, service: &ServiceName) -> String {
    format!("{shop}-{service}-canary")
}

/// StatefulSet, Service and NetworkPolicy of a service's database, and the Secret of the service's own role.
pub fn database(shop: &str, service: &ServiceName) -> String {
    format!("{shop}-{service}-db")
}

/// The Secret of a database's administrator.
pub fn database_admin(shop: &str, service: &ServiceName) -> String {
    format!("{shop}-{service}-db-admin")
}

/// The Secret of a service's login at the broker.
pub fn broker_login(shop: &str, service: &ServiceName) -> String {
    format!("{shop}-{service}-broker")
}

/// The Secret of a service's generated keys.
pub fn keys(shop: &str, service: &ServiceName) -> String {
    format!("{shop}-{service}-keys")
}

/// StatefulSet, Service, NetworkPolicy and configuration Secret of the broker.
pub fn broker(shop: &str) -> String {
    format!("{shop}-nats")
}

/// The Job that migrates a service's database to what `image` expects.
pub fn migration(shop: &str, service: &ServiceName, image: &str) -> String {
    format!("{shop}-{service}-migrate-{}", crate::hash::short(image))
}

/// The ControllerRevision that keeps a template of a service's pods.
pub fn revision(shop: &str, service: &ServiceName, id: &str) -> String {
    format!("{shop}-{service}-{id}")
}

/// The claim that a StatefulSet of one pod makes from its template `data`.
pub fn claim(stateful_set: &str) -> String {
    format!("data-{stateful_set}-0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_fits_into_a_label() {
        let shop = "s".repeat(30);
        let service = "s".repeat(15).as_str().into();
        assert!(migration(&shop, &service, "any").len() <= 63);
        assert!(revision(&shop, &service, "0123456789abcdef").len() <= 63);
        assert!(canary(&shop, &service).len() <= 63);
        // What the StatefulSet controller adds to the name for the label controller-revision-hash.
        assert!(database(&shop, &service).len() + "-0123456789".len() <= 63);
    }

    #[test]
    fn the_job_of_another_image_has_another_name() {
        let orders = "orders".into();
        let a = migration("demo", &orders, "r/orders:1");
        let b = migration("demo", &orders, "r/orders:2");
        assert_ne!(a, b);
        assert_eq!(a.len(), "demo-orders-migrate-".len() + 8);
    }
}
