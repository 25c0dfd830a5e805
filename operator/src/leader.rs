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
/// A stop must not hang on an API server that is away.
const RELEASE: Duration = Duration::from_secs(3);

/// A place in the queue for the lease.
pub struct Candidate {
    state: watch::Receiver<bool>,
    task: JoinHandle<kube_lease_manager::Result<LeaseManager>>,
}

impl Candidate {
    /// Starts to ask for the lease.
    ///
    /// # Errors
    /// When the lease can be neither made nor read.
    pub async fn new(client: Client, config: &Config) -> anyhow::Result<Self> {
        let manager = LeaseManagerBuilder::new(client, LEASE)
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
            })?;
        let (state, task) = manager.watch().await;
        Ok(Self { state, task })
    }

    /// Waits until this replica holds the lease.
    ///
    /// # Errors
    /// When the task that renews it ended.
    pub async fn elected(&mut self) -> anyhow::Result<()> {
        self.state
            .wait_for(|leads| *leads)
            .await
            .context("the task that asks for the lease ended")?;
        Ok(())
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
