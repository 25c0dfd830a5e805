//! The labels of everything the operator makes, and the names under which it writes.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::names::ServiceName;

/// The operator's name: the value of the label `app.kubernetes.io/managed-by` on what it makes, and of
/// `app.kubernetes.io/name` on its own pods.
pub const OPERATOR: &str = "shop-operator";
/// Says who made it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Holds the Shop's name.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Says which service it is, or `nats`.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Says what part it plays.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Says which version runs; on Deployments, Jobs and their pods alone.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// Says which service a pod answers for, whichever of its Deployments made it; on the pods of services alone.
pub const SERVES_LABEL: &str = "shopkeeper.dev/serves";
/// Says which revision of its service a pod is of; on Deployments, as an annotation, which one they are to run.
pub const REVISION_LABEL: &str = "shopkeeper.dev/revision";
/// On an object of which what somebody else changes stays (`driftPolicy: Report`): a fingerprint of its specification as rendered. Where
/// another one is rendered, all of it goes back. No annotation: with one that changes the API server counts a new generation of a Deployment.
pub const DRIFT_LABEL: &str = "shopkeeper.dev/reports-drift";
/// Selects what the operator made.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=shop-operator";

/// The Shop's name on objects that outlive it. Tools that track what they manage by `app.kubernetes.io/instance` (Argo CD) would
/// take an object with that label and without an owner for one of their own, and prune it.
pub const SHOP_LABEL: &str = "shopkeeper.dev/shop";

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A service's, its database and migrations included.
    Service(ServiceName),
    /// The broker's.
    Broker,
}

/// What part an object plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// A service.
    Service,
    /// Pods of a new revision beside those of a service.
    Canary,
    /// Its PostgreSQL.
    Database,
    /// A Job before its pods roll.
    Migration,
    /// NATS.
    Broker,
}

impl Component {
    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Canary => "canary",
            Self::Database => "database",
            Self::Migration => "migration",
            Self::Broker => "broker",
        }
    }
}

/// Whose an object is, as its labels say.
pub fn part_of(object: &impl ResourceExt) -> Part {
    let label = |label| object.labels().get(label).map(String::as_str);
    match (label(COMPONENT_LABEL), label(NAME_LABEL)) {
        (Some(component), _) if component == Component::Broker.as_str() => Part::Broker,
        (_, app) => Part::Service(app.unwrap_or_default().into()),
    }
}

/// The Shop that an object belongs to.
pub fn shop_of(labels: &BTreeMap<String, String>) -> Option<&str> {
    let shop = labels
        .get(SHOP_LABEL)
        .or_else(|| labels.get(INSTANCE_LABEL))?;
    Some(shop)
}
