//! Where the operator looks after Shops.

use kube::{Api, Client};

use super::kind::Kind;

/// Where the operator looks after Shops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace.
    #[default]
    Cluster,
    /// In these alone.
    Namespaces(Vec<String>),
}

impl Scope {
    /// One API for all namespaces, or one for each.
    pub fn apis<K: Kind>(&self, client: &Client) -> Vec<Api<K>> {
        match self {
            Self::Cluster => vec![Api::all(client.clone())],
            Self::Namespaces(names) => names
                .iter()
                .map(|name| Api::namespaced(client.clone(), name))
                .collect(),
        }
    }
}
