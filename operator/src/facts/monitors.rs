//! What leads Prometheus to the pods of a Shop, in the cluster that there is. Pure.

use crate::{api::Monitor, cluster::Standing, model::validate::ValidShop};

const ONE_PORT: &str = "spec.telemetry.metrics.monitor: Annotations lead nobody to the services that one process hosts, because they \
                        have room for one port, and that process has one for each service; write PodMonitor";

/// Which kinds of monitors a cluster has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonitorKinds {
    /// PodMonitors.
    pub pods: Standing,
    /// ServiceMonitors.
    pub services: Standing,
}

/// What leads Prometheus to the pods of a Shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Monitoring {
    /// Nothing that the operator makes.
    Nothing,
    /// PodMonitors.
    Pods,
    /// ServiceMonitors.
    Services,
    /// Nothing as long as the cluster stays as it is, though the Shop asks for it: why, and what to do.
    Lacking(String),
    /// What leads nowhere, because the Shop asks for what cannot be: why, and what to do.
    Useless(String),
}

impl MonitorKinds {
    /// Whether monitors of a kind of this standing go that the Shop does not ask for. What cannot be looked at is left alone, and
    /// nothing goes before what is to come in its place can be made.
    pub fn lets_go(self, shop: &ValidShop, standing: Standing) -> bool {
        let lacks = matches!(Monitoring::of(shop, self), Monitoring::Lacking(_));
        standing == Standing::Served && !lacks
    }
}

impl Monitoring {
    /// What the Shop gets of what it asks for.
    pub fn of(shop: &ValidShop, kinds: MonitorKinds) -> Self {
        let asked = shop.metrics.monitor;
        let (kind, standing, made) = match asked {
            Monitor::Annotations if shop.host().is_some() => {
                return Self::Useless(ONE_PORT.into());
            }
            Monitor::None | Monitor::Annotations => return Self::Nothing,
            Monitor::Auto | Monitor::PodMonitor => ("PodMonitor", kinds.pods, Self::Pods),
            Monitor::ServiceMonitor => ("ServiceMonitor", kinds.services, Self::Services),
        };
        let why = match standing {
            Standing::Served => return made,
            Standing::Absent => format!("this cluster has no {kind} (monitoring.coreos.com/v1)"),
            Standing::Forbidden => format!(
                "the operator may not look at {kind}s (monitoring.coreos.com/v1), which the present version of its chart lets it do"
            ),
        };
        let asked = asked.as_str();
        Self::Lacking(format!(
            "spec.telemetry.metrics.monitor: {asked} leads nobody to the metrics, because {why}; it is made as soon as that is otherwise, \
             and Annotations or None do without"
        ))
    }
}
