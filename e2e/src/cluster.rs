//! The cluster as its owners see it: the Shop resource and what the operator made of it.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{NamespaceResourceScope, Resource};
use kube::{Client, Config, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::shop::{ADMIN_EMAIL, Account, Shop};
use crate::wait::until;

/// The namespace and the name of the shop that the demo and the tests use.
pub const NAMESPACE: &str = "demo";
pub const SHOP: &str = "demo";

/// A way to the API server, and to the Shop in one namespace.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// Where the Shop is; NAMESPACE unless something else is said.
    pub namespace: String,
}

impl Cluster {
    /// The cluster of `make up`.
    pub async fn local() -> Result<Self> {
        Self::of(Kubeconfig::read()?, Some("kind-shopkeeper"))
            .await
            .context("there is no cluster of that name; `make up` makes it")
    }

    /// The cluster of the end-to-end tests.
    pub async fn for_tests() -> Result<Self> {
        let path = std::env::var("E2E_KUBECONFIG").context(
            "E2E_KUBECONFIG is not set: `make test` makes a cluster for these tests and sets it",
        )?;
        Self::of(Kubeconfig::read_from(path)?, None).await
    }

    /// The cluster that KUBECONFIG names.
    pub async fn of_environment() -> Result<Self> {
        Self::of(Kubeconfig::read()?, None).await
    }

    async fn of(kubeconfig: Kubeconfig, context: Option<&str>) -> Result<Self> {
        crate::install_crypto();
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..Default::default()
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Self {
            client: Client::try_from(config)?,
            namespace: NAMESPACE.to_owned(),
        })
    }

    /// The same cluster, for the Shop in another namespace.
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    /// The address of a node, on which node ports are reached from this machine.
    pub async fn node_address(&self) -> Result<String> {
        let nodes = Api::<Node>::all(self.client.clone());
        let nodes = nodes.list(&ListParams::default()).await?;
        let addresses = nodes.into_iter().filter_map(|node| node.status?.addresses);
        let mut internal = addresses
            .flatten()
            .filter(|address| address.type_ == "InternalIP");
        let address = internal.next().context("no node has an address")?;
        Ok(address.address)
    }

    /// Objects of a kind in the shop's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Shops, read without the operator's own types: as a user's tools see them.
    pub fn shops(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &shop_resource())
    }

    pub async fn shop(&self) -> Result<Value> {
        Ok(serde_json::to_value(self.shops().get(SHOP).await?)?)
    }

    /// A value of a Secret.
    pub async fn secret(&self, name: &str, key: &str) -> Result<String> {
        let secret = self.api::<Secret>().get(name).await?;
        let value = secret
            .data
            .and_then(|mut data| data.remove(key))
            .with_context(|| format!("Secret {name} has no key {key}"))?;
        Ok(String::from_utf8(value.0)?)
    }

    /// The administrator of its shop, logged in. The account is made by a worker of users a moment after its start.
    pub async fn administrator(&self, shop: &Shop) -> Result<Account> {
        let keys = format!("{SHOP}-users-keys");
        let password = self.secret(&keys, "ADMIN_PASSWORD").await?;
        until(
            "the administrator can log in",
            Duration::from_secs(300),
            || async { shop.log_in(ADMIN_EMAIL, &password).await.map(Some) },
        )
        .await
    }

    /// Applies the documents of a manifest as `kubectl apply --server-side` does.
    pub async fn apply_manifest(&self, manifest: &str) -> Result<()> {
        for document in manifest.split("\n---") {
            let object: Value =
                serde_yaml::from_str(document).context("the manifest is no YAML")?;
            if object.is_null() {
                continue;
            }
            self.apply(&object).await?;
        }
        Ok(())
    }

    async fn apply(&self, object: &Value) -> Result<()> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let params = PatchParams::apply("e2e").force();
        match kind {
            "Namespace" => {
                Api::<k8s_openapi::api::core::v1::Namespace>::all(self.client.clone())
                    .patch(name, &params, &Patch::Apply(object))
                    .await?;
            }
            "Shop" => {
                self.shops()
                    .patch(name, &params, &Patch::Apply(object))
                    .await?;
                self.take_back_other_fields(name, object).await?;
            }
            // What its pages may read.
            "Role" => self.apply_in_namespace::<Role>(name, object).await?,
            "RoleBinding" => self.apply_in_namespace::<RoleBinding>(name, object).await?,
            other => bail!("the manifest holds a {other}, which is not expected here"),
        }
        Ok(())
    }

    async fn apply_in_namespace<K>(&self, name: &str, object: &Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let params = PatchParams::apply("e2e").force();
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.patch(name, &params, &Patch::Apply(object)).await?;
        Ok(())
    }

    /// An apply keeps the fields that others have set: what a test that failed has left would fail the next ones too.
    async fn take_back_other_fields(&self, name: &str, object: &Value) -> Result<()> {
        let shops = self.shops();
        until(
            "the Shop is as its manifest says",
            Duration::from_secs(20),
            || async {
                let mut shop = shops.get(name).await?;
                shop.data["spec"] = object["spec"].clone();
                shops.replace(name, &PostParams::default(), &shop).await?;
                Ok(Some(()))
            },
        )
        .await
    }

    /// Merges a patch into the Shop and returns its new generation.
    pub async fn patch_shop(&self, patch: Value) -> Result<i64> {
        let patched = self
            .shops()
            .patch(SHOP, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        patched.metadata.generation.context("no generation")
    }

    /// Waits until the Shop is Ready at its newest generation.
    pub async fn ready(&self, limit: Duration) -> Result<Value> {
        until("the Shop is Ready", limit, || async {
            let shop = self.shop().await?;
            match condition(&shop, "Ready") {
                Some((true, _)) => Ok(Some(shop)),
                Some((false, message)) => bail!("{message}"),
                None => bail!("no Ready condition of the newest generation"),
            }
        })
        .await
    }

    /// How far the release of a service is, as the status tells it.
    pub async fn release_of(&self, service: &str) -> Result<Value> {
        let shop = self.shop().await?;
        let releases = shop["status"]["releases"].as_array();
        let mut releases = releases.into_iter().flatten();
        let found = releases.find(|release| release["name"] == service);
        found
            .cloned()
            .with_context(|| format!("no release of {service}"))
    }

    /// The pods of one service, without those that are going.
    pub async fn pods(&self, service: &str) -> Result<Vec<Pod>> {
        let labels = format!(
            "app.kubernetes.io/instance={SHOP},app.kubernetes.io/component=service,app.kubernetes.io/name={service}"
        );
        let pods = self
            .api::<Pod>()
            .list(&ListParams::default().labels(&labels))
            .await?;
        Ok(pods
            .items
            .into_iter()
            .filter(|p| p.metadata.deletion_timestamp.is_none())
            .collect())
    }

    /// Deletes the pods of a service at once, as a node that dies does.
    pub async fn kill(&self, service: &str) -> Result<()> {
        for pod in self.pods(service).await? {
            self.cut(&pod.name_any()).await?;
        }
        Ok(())
    }

    /// Has a pod killed after a second, where it is there. Not at once: that takes away the pod and not its container, and a StatefulSet
    /// would start the next one on the same volume beside it, which no database survives.
    pub async fn cut(&self, pod: &str) -> Result<()> {
        let at_once = DeleteParams::default().grace_period(1);
        match self.api::<Pod>().delete(pod, &at_once).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            deleted => Ok(deleted.map(drop)?),
        }
    }

    /// The text of a path of the API server, with or without a query: `/metrics`.
    pub async fn text(&self, path: &str) -> Result<String> {
        // What this makes is a GET; `list` adds what is not asked for, so the path is set anew.
        let request = kube::core::Request::new("/").list(&ListParams::default());
        let mut request = request.map_err(anyhow::Error::from)?;
        *request.uri_mut() = path.parse()?;
        Ok(self.client.request_text(request).await?)
    }

    /// A JSON document of the API server: the metrics of pods.
    pub async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let text = self.text(path).await?;
        serde_json::from_str(&text)
            .with_context(|| format!("{path} is answered with something else"))
    }

    /// Creates a Shop from a whole object; the API server's refusal is the error.
    pub async fn create_shop(&self, object: &Value) -> Result<DynamicObject, kube::Error> {
        let object: DynamicObject =
            serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        self.shops().create(&PostParams::default(), &object).await
    }
}

/// The kind Shop.
pub fn shop_resource() -> ApiResource {
    ApiResource {
        group: "shopkeeper.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "shopkeeper.dev/v1alpha1".to_owned(),
        kind: "Shop".to_owned(),
        plural: "shops".to_owned(),
    }
}

/// A condition of the Shop, if it is about its newest generation: whether it is true, and its message.
pub fn condition(shop: &Value, kind: &str) -> Option<(bool, String)> {
    let condition = shop["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)?;
    if condition["observedGeneration"] != shop["metadata"]["generation"] {
        return None;
    }
    let message = format!(
        "{}: {}",
        condition["reason"].as_str().unwrap_or_default(),
        condition["message"].as_str().unwrap_or_default()
    );
    Some((condition["status"] == "True", message))
}
