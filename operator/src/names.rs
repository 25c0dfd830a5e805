//! What the objects of a Shop are called. The longest, `<30 characters>-payments-migrate-<8>`, has 56 of the 63 allowed.

use crate::catalogue::ServiceName;

/// Deployment, Service, ServiceAccount, PodDisruptionBudget, HorizontalPodAutoscaler and NetworkPolicy of a service.
pub fn service(shop: &str, service: ServiceName) -> String {
    format!("{shop}-{service}")
}

/// StatefulSet, Service and NetworkPolicy of a service's database, and the Secret of the service's own role.
pub fn database(shop: &str, service: ServiceName) -> String {
    format!("{shop}-{service}-db")
}

/// The Secret of a database's administrator.
pub fn database_admin(shop: &str, service: ServiceName) -> String {
    format!("{shop}-{service}-db-admin")
}

/// The Secret of a service's login at the broker.
pub fn broker_login(shop: &str, service: ServiceName) -> String {
    format!("{shop}-{service}-broker")
}

/// The Secret of a service's generated keys.
pub fn keys(shop: &str, service: ServiceName) -> String {
    format!("{shop}-{service}-keys")
}

/// StatefulSet, Service, NetworkPolicy and configuration Secret of the broker.
pub fn broker(shop: &str) -> String {
    format!("{shop}-nats")
}

/// The Job that migrates a service's database to what `image` expects.
pub fn migration(shop: &str, service: ServiceName, image: &str) -> String {
    format!("{shop}-{service}-migrate-{}", crate::hash::short(image))
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
        for service in ServiceName::ALL {
            assert!(migration(&shop, service, "any").len() <= 63);
            // What the StatefulSet controller adds to the name for the label controller-revision-hash.
            assert!(database(&shop, service).len() + "-0123456789".len() <= 63);
        }
    }

    #[test]
    fn the_job_of_another_image_has_another_name() {
        let a = migration("demo", ServiceName::Orders, "r/orders:1");
        let b = migration("demo", ServiceName::Orders, "r/orders:2");
        assert_ne!(a, b);
        assert_eq!(a.len(), "demo-orders-migrate-".len() + 8);
    }
}
