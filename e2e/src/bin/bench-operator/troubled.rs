//! Shops that never become Ready, among those that are.

use std::time::Duration;

use anyhow::Result;
use e2e::{cluster::Cluster, wait::until};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::shops::{self, ShopKey};

/// Shops whose databases take a connection and never say a word.
const SILENT: usize = 5;
const SILENT_PREFIX: &str = "silent";
const SILENT_ADDRESS: &str = "127.0.0.2";
/// A Shop one of whose names is taken by somebody else.
const REFUSED: &str = "refused";
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the database of this StatefulSet listens.
pub(crate) fn database_address(stateful_set: &str) -> &'static str {
    match stateful_set.starts_with(SILENT_PREFIX) {
        true => SILENT_ADDRESS,
        false => "127.0.0.1",
    }
}

/// Shops that are there as long as this is.
pub(crate) struct Troubled {
    shops: Vec<ShopKey>,
    silence: JoinHandle<()>,
}

impl Troubled {
    /// How many there are, and of which kinds.
    pub(crate) fn description() -> String {
        format!("1 Shop that is refused and {SILENT} whose databases never answer")
    }

    /// Makes them, and waits until the operator has met the trouble of each.
    pub(crate) async fn add(cluster: &Cluster) -> Result<Self> {
        let listener = TcpListener::bind((SILENT_ADDRESS, 5432)).await?;
        let silence = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.push(connection);
            }
        });
        // Where the first of those that are edited live.
        let namespace = shops::namespace(0);
        take_name(cluster, &namespace, &format!("{REFUSED}-users")).await?;
        let silent = (0..SILENT).map(|number| format!("{SILENT_PREFIX}{number}"));
        let names = silent.chain([REFUSED.to_owned()]);
        let shops: Vec<_> = names
            .map(|name| ShopKey {
                namespace: namespace.clone(),
                name,
            })
            .collect();
        for shop in &shops {
            shops::apply(cluster, shop).await?;
        }
        let troubled = Self { shops, silence };
        for shop in &troubled.shops {
            troubled.await_trouble(cluster, shop).await?;
        }
        Ok(troubled)
    }

    async fn await_trouble(&self, cluster: &Cluster, shop: &ShopKey) -> Result<()> {
        let what = format!("Shop {} says that it is not Ready", shop.name);
        until(&what, PATIENCE, || async {
            let found = shops::api(cluster, &shop.namespace).get(&shop.name).await?;
            let told = shops::ready_condition(Some(&found));
            Ok(told.filter(|(ready, _)| !ready).map(drop))
        })
        .await
    }

    /// Takes the Shops away. What was made for them stays, for want of a garbage collector.
    pub(crate) async fn remove(self, cluster: &Cluster) -> Result<()> {
        for shop in &self.shops {
            shops::api(cluster, &shop.namespace)
                .delete(&shop.name, &DeleteParams::default())
                .await?;
        }
        Ok(())
    }
}

impl Drop for Troubled {
    fn drop(&mut self) {
        self.silence.abort();
    }
}

/// Somebody else's Deployment.
async fn take_name(cluster: &Cluster, namespace: &str, name: &str) -> Result<()> {
    let labels = json!({"app": "foreign"});
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "foreign", "image": "registry.example/foreign:1"}]},
            },
        },
    }))?;
    Api::<Deployment>::namespaced(cluster.client.clone(), namespace)
        .create(&PostParams::default(), &deployment)
        .await?;
    Ok(())
}
