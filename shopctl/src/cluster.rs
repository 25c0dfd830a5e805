//! The way to the API server, and to the Shop that is meant.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::{
    Api, Client, Config, Resource,
    api::{ApiResource, DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use shop_operator::api::Shop;

use crate::{
    cli::Common,
    failure::{Failure, asking},
    place::Place,
};

/// A cluster that does not take a connection within this time is not reached.
const CONNECTING: Duration = Duration::from_secs(5);

/// A namespace of a cluster, and the Shop in it that is meant.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    shop: Option<String>,
}

impl Cluster {
    /// The cluster that the kubeconfig names.
    ///
    /// # Errors
    /// When it names none.
    pub async fn connect(common: &Common) -> Result<Self, Failure> {
        let options = KubeConfigOptions {
            context: common.context.clone(),
            ..KubeConfigOptions::default()
        };
        let wrong = |error| Failure::Absent(format!("the kubeconfig names no cluster: {error}"));
        let kubeconfig = Kubeconfig::read().map_err(wrong)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.map_err(wrong)?;
        config.connect_timeout = Some(CONNECTING);
        let namespace = common.namespace.clone();
        Ok(Self {
            namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
            shop: common.shop.clone(),
            client: Client::try_from(config).map_err(asking("the kubeconfig"))?,
        })
    }

    /// For what is asked directly.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The Shop's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Objects of a kind in the Shop's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Shop that is meant.
    ///
    /// # Errors
    /// When it is not there, or none is named and there are several.
    pub async fn shop(&self) -> Result<Shop, Failure> {
        self.meant(self.api()).await
    }

    /// Shops with all their fields, whether this program knows them or not.
    pub fn documents(&self) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<Shop>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    /// The Shop that is meant, with all its fields.
    ///
    /// # Errors
    /// As [`Self::shop`].
    pub async fn document(&self) -> Result<DynamicObject, Failure> {
        self.meant(self.documents()).await
    }

    async fn meant<K>(&self, shops: Api<K>) -> Result<K, Failure>
    where
        K: Resource + Clone + Debug + DeserializeOwned,
    {
        let namespace = &self.namespace;
        match &self.shop {
            Some(name) => {
                let asked = asking(format!("Shop {name} in namespace {namespace}"));
                shops.get(name).await.map_err(asked)
            }
            None => {
                let asked = asking(format!("Shops in namespace {namespace}"));
                let all = shops.list(&ListParams::default()).await.map_err(asked)?;
                the_only(all.items, namespace)
            }
        }
    }

    /// The pods that run a service.
    ///
    /// # Errors
    /// When the API server does not list them.
    pub async fn pods(&self, place: &Place) -> Result<Vec<Pod>, Failure> {
        let asked = asking(format!("pods of {}", place.service));
        let selected = ListParams::default().labels(&place.selector());
        let pods = self.api::<Pod>().list(&selected).await.map_err(asked)?;
        Ok(pods.items)
    }
}

/// The one Shop that a namespace has.
fn the_only<K: Resource>(mut shops: Vec<K>, namespace: &str) -> Result<K, Failure> {
    match (shops.pop(), shops.is_empty()) {
        (Some(shop), true) => Ok(shop),
        (None, _) => Err(Failure::Absent(format!(
            "there is no Shop in namespace {namespace}; name another namespace with -n, `kubectl get shops -A` lists all"
        ))),
        (Some(last), false) => {
            let names = shops.iter().chain([&last]);
            let names: Vec<_> = names.filter_map(|s| s.meta().name.as_deref()).collect();
            Err(Failure::Refused(format!(
                "namespace {namespace} has the Shops {}; say which with --shop",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shops(names: &[&str]) -> Vec<Shop> {
        let spec = serde_json::json!({"version": "1"});
        let shop = |name: &&str| {
            Shop::new(
                name,
                serde_json::from_value(spec.clone()).expect("a specification"),
            )
        };
        names.iter().map(shop).collect()
    }

    #[test]
    fn a_shop_need_not_be_named_where_there_is_one() {
        let found = the_only(shops(&["demo"]), "market").expect("the only one");
        assert_eq!(found.metadata.name.as_deref(), Some("demo"));
        let none = the_only(shops(&[]), "market").expect_err("none");
        assert!(
            matches!(none, Failure::Absent(text) if text.contains("no Shop in namespace market"))
        );
        let two = the_only(shops(&["a", "b"]), "market").expect_err("two");
        assert!(matches!(two, Failure::Refused(text) if text.contains("the Shops a, b")));
    }
}
