//! The operator's own settings, from its command line or environment.

use clap::{Args, ValueEnum};

use crate::cluster::Scope;

/// Whether Shops may patch single objects.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[value(rename_all = "PascalCase")]
pub enum Overrides {
    /// They may.
    Allowed,
    /// One that does is refused.
    Refused,
}

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

    /// Ports of DNS, with commas between them: of its Service and of its pods. The network policies of Shops let them through.
    #[arg(
        long,
        env = "DNS_PORTS",
        value_delimiter = ',',
        default_values_t = [53, 5353]
    )]
    pub dns_ports: Vec<u16>,

    /// Ports of the API server, with commas between them: of its Service and of what answers behind it. The network policies of services that
    /// look after their Shop let them through.
    #[arg(
        long,
        env = "API_SERVER_PORTS",
        value_delimiter = ',',
        default_values_t = [443, 6443]
    )]
    pub api_server_ports: Vec<u16>,

    /// Whether Shops may patch single objects: whoever writes one may then do what whoever makes pods, Services and network policies
    /// there may.
    #[arg(long, env = "OVERRIDES", value_enum, default_value = "Refused")]
    pub overrides: Overrides,

    /// Where probes and metrics are served.
    #[arg(long, env = "ADMIN_ADDR", default_value = "0.0.0.0:9090")]
    pub admin_addr: std::net::SocketAddr,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn overrides_are_refused_unless_somebody_says_otherwise() {
        let overrides = |arguments: &[&str]| {
            let arguments = ["operator"].iter().chain(arguments);
            Cli::try_parse_from(arguments).map(|cli| cli.config.overrides)
        };
        assert_eq!(overrides(&[]).expect("a default"), Overrides::Refused);
        let allowed = overrides(&["--overrides=Allowed"]);
        assert_eq!(allowed.expect("a word"), Overrides::Allowed);
        assert!(overrides(&["--overrides=allow"]).is_err());
    }

    #[test]
    fn ports_of_dns_stand_with_commas_between_them() {
        let ports = |arguments: &[&str]| {
            let arguments = ["operator"].iter().chain(arguments);
            Cli::try_parse_from(arguments).map(|cli| cli.config.dns_ports)
        };
        assert_eq!(ports(&[]).expect("a default"), [53, 5353]);
        assert_eq!(ports(&["--dns-ports=53,1053"]).expect("ports"), [53, 1053]);
        assert!(ports(&["--dns-ports=dns"]).is_err());
    }
}
