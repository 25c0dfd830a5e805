//! One replica works, the others wait. The lease is given back at a stop, so that the next one need not wait for its end.

use std::time::Duration;

use anyhow::Context;
use kube::Client;
use kube_lease_manager::{LeaseCreateMode, LeaseManager, LeaseManagerBuilder};
use tokio::{sync::watch, task::JoinHandle};

use crate::config::Config;

const LEASE: &str = "shop-operator";
/// A replica that is silent for this long has lost the lease.
const DURATION_SECONDS: u64 = 15;
/// It renews this long before the end.
const GRACE_SECONDS: u64 = 5;
/// A replica that waits looks this often whether the lease is free.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A stop must not hang on an API server that is away.
const RELEASE: Duration = Duration::from_secs(3);

/// The lease, while this replica holds it.
pub struct Leadership {
    state: watch::Receiver<bool>,
    task: JoinHandle<kube_lease_manager::Result<LeaseManager>>,
}

impl Leadership {
    /// Waits until this replica holds the lease.
    ///
    /// # Errors
    /// When the lease can be neither made nor read.
    pub async fn acquire(client: &Client, config: &Config) -> anyhow::Result<Self> {
        loop {
            let manager = manager(client.clone(), config).await?;
            // The manager itself sleeps until the holder's time is over, also when the holder has given the lease back.
            match tokio::time::timeout(LOOK_AGAIN, manager.changed()).await {
                Ok(Ok(true)) => {
                    let (state, task) = manager.watch().await;
                    return Ok(Self { state, task });
                }
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be asked for");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Waits until the lease is lost, or nobody renews it any more, which is the same soon.
    pub async fn lost(&mut self) {
        // An error means that the task ended.
        let _ = self.state.wait_for(|leads| !*leads).await;
    }

    /// Gives the lease back.
    pub async fn release(self) {
        drop(self.state);
        match tokio::time::timeout(RELEASE, self.task).await {
            Ok(Ok(Ok(_))) => tracing::info!("the lease is given back"),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "the lease could not be given back and will run out")
            }
            Ok(Err(error)) => tracing::warn!(%error, "the task of the lease ended badly"),
            Err(_) => tracing::warn!("the lease could not be given back in time and will run out"),
        }
    }
}

async fn manager(client: Client, config: &Config) -> anyhow::Result<LeaseManager> {
    LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(&config.pod_namespace)
        .with_identity(&config.pod_name)
        .with_duration(DURATION_SECONDS)
        .with_grace(GRACE_SECONDS)
        .with_field_manager(format!("shop-operator-{}", config.pod_name))
        .with_create_mode(LeaseCreateMode::AutoCreate)
        .build()
        .await
        .with_context(|| {
            format!(
                "Lease {LEASE} in namespace {} cannot be made",
                config.pod_namespace
            )
        })
}
