//! The operator's own settings, from its command line or environment.

use clap::Args;

use crate::cluster::Scope;

/// The operator's own settings.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Registry and path of the services' images, for Shops that name none.
    #[arg(long, env = "IMAGE_REGISTRY")]
    pub image_registry: Option<String>,

    /// PostgreSQL image, for Shops that name none.
    #[arg(long, env = "POSTGRES_IMAGE", default_value = "postgres:17")]
    pub postgres_image: String,

    /// NATS image, for Shops that name none.
    #[arg(long, env = "NATS_IMAGE", default_value = "nats:2.12")]
    pub nats_image: String,

    /// The name under which this replica holds the lease: unique among the replicas.
    #[arg(long, env = "POD_NAME", default_value = "shop-operator")]
    pub pod_name: String,

    /// The operator's own namespace: the lease lives here, and databases let in pods of this namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "shop-system")]
    pub pod_namespace: String,

    /// The name of this install, shared by its replicas: their Lease is called so, and with the namespace before it, it stands in
    /// the claim that keeps another install away from the same Shops.
    #[arg(long, env = "INSTALL_NAME", default_value = "shop-operator")]
    pub install_name: String,

    /// The namespaces whose Shops this install looks after, with commas between them; empty: all of the cluster.
    #[arg(long, env = "WATCH_NAMESPACES", default_value = "")]
    pub watch_namespaces: Scope,

    /// Where probes and metrics are served.
    #[arg(long, env = "ADMIN_ADDR", default_value = "0.0.0.0:9090")]
    pub admin_addr: std::net::SocketAddr,
}
