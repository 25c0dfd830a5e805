//! Three questions to the API server of Kubernetes, with the token of the pod. They are plain requests: a client library would be the
//! larger part of this service.

use std::fs;
use std::path::Path;

use chassis::settings::wrong;
use chassis::{Env, SettingError};
use reqwest::{Certificate, Client, StatusCode};
use serde::de::DeserializeOwned;

use super::Lack;
use super::answer::{self, Answer, LOOK};
use super::resource::{Autoscaler, EndpointSlice, List, Shop};

/// Where a pod finds its token, the namespace, and by which certificates the API server is known (Kubernetes, "Accessing the API from a
/// Pod").
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const SHOP: &str = "OPERATED_SHOP";

pub(super) struct ApiServer {
    base: String,
    namespace: String,
    shop: String,
    http: Client,
}

impl ApiServer {
    /// `None` where no Shop is named.
    pub(super) fn read(env: &Env) -> Result<Option<Self>, SettingError> {
        let Some(shop) = env.optional::<String>(SHOP)? else {
            return Ok(None);
        };
        let set = "the cluster sets it in every pod";
        let host: String = env.required("KUBERNETES_SERVICE_HOST", set)?;
        let port: u16 = env.required("KUBERNETES_SERVICE_PORT", set)?;
        // An IPv6 address stands in brackets.
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host,
        };
        let file = |name: &str| {
            let path = Path::new(ACCOUNT).join(name);
            let unread = |error| {
                let path = path.display();
                wrong(
                    SHOP,
                    format!(
                        "a pod of a Shop that says `operates` of this service has {path}, and it cannot be read: {error}"
                    ),
                )
            };
            fs::read(&path).map_err(unread)
        };
        let roots = Certificate::from_pem_bundle(&file("ca.crt")?).map_err(|e| wrong(SHOP, e))?;
        let http = answer::client().tls_certs_only(roots).build();
        Ok(Some(Self {
            base: format!("https://{host}:{port}"),
            namespace: String::from_utf8_lossy(&file("namespace")?)
                .trim()
                .to_owned(),
            shop,
            http: http.map_err(|error| wrong(SHOP, error))?,
        }))
    }

    pub(super) async fn shop(&self) -> Result<Shop, Lack> {
        let path = format!("shops/{}", self.shop);
        self.ask("shopkeeper.dev/v1alpha1", &path).await
    }

    /// Where the pods of its services are.
    pub(super) async fn slices(&self) -> Result<Vec<EndpointSlice>, Lack> {
        let path = self.all("endpointslices");
        let slices: List<EndpointSlice> = self.ask("discovery.k8s.io/v1", &path).await?;
        Ok(slices.items)
    }

    pub(super) async fn autoscalers(&self) -> Result<Vec<Autoscaler>, Lack> {
        let path = self.all("horizontalpodautoscalers");
        let list: List<Autoscaler> = self.ask("autoscaling/v2", &path).await?;
        Ok(list.items)
    }

    /// Those of the Shop's services.
    fn all(&self, resource: &str) -> String {
        let instance = &self.shop;
        format!(
            "{resource}?labelSelector=app.kubernetes.io/instance={instance},app.kubernetes.io/component=service"
        )
    }

    async fn ask<T: DeserializeOwned>(&self, api: &str, path: &str) -> Result<T, Lack> {
        let (base, namespace) = (&self.base, &self.namespace);
        let url = format!("{base}/apis/{api}/namespaces/{namespace}/{path}");
        // Read for each question: kubelet writes a new one before the old one ends.
        let token = tokio::fs::read_to_string(Path::new(ACCOUNT).join("token")).await;
        let token = token.map_err(|error| lacking(path, &error))?;
        let request = self.http.get(url).bearer_auth(token.trim());
        let Answer { status, body } = answer::to(request, LOOK)
            .await
            .map_err(|error| lacking(path, &error))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| lacking(path, &error)),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(Lack::NoRight),
            other => Err(lacking(path, &other)),
        }
    }
}

fn lacking(path: &str, cause: &dyn std::fmt::Display) -> Lack {
    tracing::warn!(%cause, path, "the API server does not answer as it should");
    Lack::Away
}
