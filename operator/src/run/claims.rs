//! One install for each namespace. Two that look after the same Shops would undo each other's work at the speed of their
//! watches, so the one that comes first puts its name into a Lease in the namespace, and others leave the Shops there alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kube::Client;
use tokio::time::timeout;

use crate::{
    config::Config,
    lock::lock,
    run::lease::{Holder, LeaseLock},
};

/// The name of the Lease in each namespace with Shops.
pub const CLAIM: &str = "shops.shopkeeper.dev";
/// An install that is silent for this long has lost its claim: longer than a pod takes to come back from a node that died.
const DURATION: Duration = Duration::from_secs(600);
/// The holder renews this often. Reconciles do it, so that it may be the longest time between two of one Shop later: 6 minutes.
const RENEW: Duration = Duration::from_secs(180);
/// A namespace that is not ours is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// A request that is not answered within this time is as good as refused.
const ANSWER: Duration = Duration::from_secs(10);

/// Which namespaces this install may work in.
pub struct Claims {
    client: Client,
    install: String,
    namespaces: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Namespace>>>>,
    obstacles: Obstacles,
}

/// What keeps this install out of namespaces, for people; cheap to clone.
#[derive(Clone, Default)]
pub struct Obstacles(Arc<Mutex<BTreeMap<String, (String, Instant)>>>);

/// Who looks after the Shops of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This install.
    Ours,
    /// Another one.
    Theirs,
    /// The Lease can be neither read nor made. So it is, among others, in a namespace that is being deleted.
    Unknown,
}

struct Namespace {
    lock: LeaseLock,
    /// What came of the last look, and when that was.
    last: Option<(Claim, Instant)>,
}

impl Claims {
    /// Claims for the install that `config` names. What it must leave alone is told to `obstacles`.
    pub fn new(client: Client, config: &Config, obstacles: Obstacles) -> Self {
        Self {
            client,
            install: format!("{}/{}", config.pod_namespace, config.install_name),
            namespaces: Mutex::default(),
            obstacles,
        }
    }

    /// Who looks after the Shops of `namespace`. Takes the claim if it is free and renews it in time.
    pub async fn of(&self, namespace: &str) -> Claim {
        let entry = self.entry(namespace);
        // Reconciles of one namespace wait for each other here, so that one of them asks.
        let mut entry = entry.lock().await;
        let now = Instant::now();
        if let Some((claim, looked)) = entry.last
            && now
                < looked
                    + if claim == Claim::Ours {
                        RENEW
                    } else {
                        LOOK_AGAIN
                    }
        {
            return claim;
        }
        let (claim, obstacle) = match timeout(ANSWER, entry.lock.try_hold()).await {
            Ok(Ok(Holder::Us)) => (Claim::Ours, None),
            Ok(Ok(Holder::Other(other))) => (
                Claim::Theirs,
                Some(held_by(namespace, &other, &self.install)),
            ),
            Ok(Err(error)) => (
                Claim::Unknown,
                Some(unreadable(namespace, &error.to_string())),
            ),
            Err(_) => (
                Claim::Unknown,
                Some(unreadable(namespace, "the API server does not answer")),
            ),
        };
        entry.last = Some((claim, now));
        self.obstacles.set(namespace, obstacle, now);
        claim
    }

    fn entry(&self, namespace: &str) -> Arc<tokio::sync::Mutex<Namespace>> {
        let mut namespaces = lock(&self.namespaces);
        let entry = namespaces.entry(namespace.to_owned()).or_insert_with(|| {
            let client = self.client.clone();
            let lock = LeaseLock::new(client, namespace, CLAIM, &self.install, DURATION);
            Arc::new(tokio::sync::Mutex::new(Namespace { lock, last: None }))
        });
        entry.clone()
    }
}

impl Obstacles {
    /// A sentence for each namespace, in the order of their names.
    pub fn sentences(&self) -> Vec<String> {
        let now = Instant::now();
        // What nobody looks at any more has no Shop any more.
        let mut all = lock(&self.0);
        all.retain(|_, (_, looked)| now < *looked + 3 * LOOK_AGAIN);
        all.values().map(|(sentence, _)| sentence.clone()).collect()
    }

    /// What came of a look at `namespace`; it is logged when it is new.
    pub(crate) fn set(&self, namespace: &str, obstacle: Option<String>, now: Instant) {
        let mut all = lock(&self.0);
        let before = match obstacle.clone() {
            Some(sentence) => all.insert(namespace.to_owned(), (sentence, now)),
            None => all.remove(namespace),
        };
        let before = before.map(|(sentence, _)| sentence);
        match obstacle {
            Some(sentence) if before.as_ref() != Some(&sentence) => tracing::warn!("{sentence}"),
            None if before.is_some() => tracing::info!(namespace, "the namespace is free now"),
            Some(_) | None => {}
        }
    }
}

fn held_by(namespace: &str, other: &str, install: &str) -> String {
    format!(
        "namespace {namespace}: the install {other} looks after the Shops there, so that {install} leaves them alone. \
         Uninstall one of the two, or give them different namespaces (watchNamespaces). If {other} is gone, its claim ends \
         within {} minutes, or at once by: kubectl -n {namespace} delete lease {CLAIM}",
        DURATION.as_secs() / 60
    )
}

fn unreadable(namespace: &str, why: &str) -> String {
    format!(
        "namespace {namespace}: the Lease {CLAIM}, which says who looks after the Shops there, cannot be read or written: {why}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obstacle_is_told_until_it_is_gone_or_nobody_looks() {
        let obstacles = Obstacles::default();
        let now = Instant::now();
        obstacles.set("b", Some("two".into()), now);
        obstacles.set("a", Some("one".into()), now);
        assert_eq!(obstacles.sentences(), ["one", "two"]);
        obstacles.set("a", None, now);
        assert_eq!(obstacles.sentences(), ["two"]);
        let long_ago = now
            .checked_sub(3 * LOOK_AGAIN)
            .expect("a machine that is up");
        obstacles.set("b", Some("two".into()), long_ago);
        assert!(obstacles.sentences().is_empty());
    }

    #[test]
    fn the_sentence_names_both_installs_and_the_way_out() {
        let sentence = held_by("demo", "a/one", "b/two");
        for part in [
            "namespace demo",
            "a/one",
            "b/two",
            "watchNamespaces",
            "10 minutes",
            "kubectl -n demo delete lease shops.shopkeeper.dev",
        ] {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
    }
}
