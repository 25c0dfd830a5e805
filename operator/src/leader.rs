//! One replica works, the others wait. The lease is given back at a stop, so that the next one need not wait for its end.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::{
    api::coordination::v1::Lease,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, Client};
use kube_lease_manager::{LeaseCreateMode, LeaseManager, LeaseManagerBuilder};
use tokio::{sync::watch, task::JoinHandle};

use crate::config::Config;

const LEASE: &str = "shop-operator";
/// A replica that is silent for this long has lost the lease.
const DURATION_SECONDS: u64 = 15;
const DURATION: SignedDuration = SignedDuration::from_secs(DURATION_SECONDS as i64);
/// It renews this long before the end.
const GRACE_SECONDS: u64 = 5;
/// A replica that waits looks this often whether the lease is free.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A request that is not answered within this time is as good as refused.
const ANSWER: Duration = Duration::from_secs(3);
/// A stop must not hang on an API server that is away.
const RELEASE: Duration = Duration::from_secs(3);

/// The lease, while this replica holds it.
pub struct Leadership {
    state: watch::Receiver<bool>,
    task: JoinHandle<kube_lease_manager::Result<LeaseManager>>,
    leases: Api<Lease>,
    identity: String,
}

impl Leadership {
    /// Waits until this replica holds the lease.
    /// An API server that is away is waited for.
    pub async fn acquire(client: &Client, config: &Config) -> Self {
        loop {
            let manager = match tokio::time::timeout(ANSWER, manager(client.clone(), config)).await
            {
                Ok(Ok(manager)) => manager,
                Ok(Err(error)) => {
                    tracing::warn!("{error:#}");
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err(_) => {
                    tracing::warn!("the API server does not answer");
                    continue;
                }
            };
            // The manager itself sleeps until the holder's time is over, also when the holder has given the lease back.
            match tokio::time::timeout(LOOK_AGAIN, manager.changed()).await {
                Ok(Ok(true)) => {
                    let (state, task) = manager.watch().await;
                    let leases = Api::namespaced(client.clone(), &config.pod_namespace);
                    let identity = config.pod_name.clone();
                    return Self {
                        state,
                        task,
                        leases,
                        identity,
                    };
                }
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be asked for");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Waits until somebody else holds the lease, or its time is over because it could not be renewed.
    pub async fn lost(&mut self) {
        tokio::select! {
            // An error means that the task ended.
            _ = self.state.wait_for(|leads| !*leads) => {}
            () = run_out(&self.leases, &self.identity) => {}
        }
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

/// The manager tries to renew for ever. Others count from the last renewal, and so does this.
async fn run_out(leases: &Api<Lease>, identity: &str) {
    let mut until = Timestamp::now() + DURATION;
    while Timestamp::now() < until {
        tokio::time::sleep(LOOK_AGAIN).await;
        match tokio::time::timeout(ANSWER, leases.get(LEASE)).await {
            Ok(Ok(lease)) => match held_until(&lease, identity) {
                Some(time) => until = time,
                None => return,
            },
            Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be read"),
            Err(_) => tracing::warn!("the lease cannot be read: the API server does not answer"),
        }
    }
}

/// When this replica's time is over; none when it does not hold the lease.
fn held_until(lease: &Lease, identity: &str) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    let ours = spec.holder_identity.as_deref() == Some(identity);
    Some(spec.renew_time.as_ref().filter(|_| ours)?.0 + DURATION)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_is_held_for_its_time_from_the_last_renewal_and_by_nobody_else() {
        let held = |spec: serde_json::Value, identity: &str| {
            let lease = serde_json::from_value(json!({"spec": spec})).expect("a Lease");
            held_until(&lease, identity).map(|until| until.as_second())
        };
        let renewed = json!({"holderIdentity": "a", "renewTime": "1970-01-01T00:01:40.000000Z"});
        assert_eq!(held(renewed.clone(), "a"), Some(115));
        assert_eq!(held(renewed, "b"), None);
        assert_eq!(held(json!({}), "a"), None);
    }
}
