//! Asking what runs in a Shop for its figures, over HTTP.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::Pod;
use tokio::{sync::Semaphore, time::timeout};

/// A reconcile waits this long for figures. They are not worth more.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many are asked at a time, of all Shops: each answer is in memory as a whole.
const AT_ONCE: usize = 8;

/// Asks pods for their figures.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Empty<&'static [u8]>>,
    places: Arc<Semaphore>,
}

impl Default for Http {
    fn default() -> Self {
        // Nothing is kept open: nobody is asked often.
        let mut client = Client::builder(TokioExecutor::new());
        Self {
            client: client.pool_max_idle_per_host(0).build_http(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Http {
    /// What a pod with this address answers on this port; `longest` is in bytes.
    ///
    /// # Errors
    /// When it does not within a second, the wait for a place included, answers with an error, or with more than that.
    pub async fn get(
        &self,
        address: &str,
        port: i32,
        path: &str,
        longest: usize,
    ) -> anyhow::Result<Vec<u8>> {
        let url = format!("http://{address}:{port}{path}").parse()?;
        let answer = async {
            let _place = self.places.acquire().await?;
            let answer = self.client.get(url).await?;
            anyhow::ensure!(answer.status().is_success(), "it says {}", answer.status());
            let body = Limited::new(answer.into_body(), longest).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?;
            Ok(body.to_bytes().to_vec())
        };
        timeout(PATIENCE, answer).await?
    }
}

/// The address of a pod as a URL has it; none before it has one.
pub fn address(pod: &Pod) -> Option<String> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?;
    Some(match ip.contains(':') {
        true => format!("[{ip}]"),
        false => ip.clone(),
    })
}
