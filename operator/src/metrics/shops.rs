//! How each Shop is. What is exported is made anew from this at each scrape, so that nothing stays of a Shop that is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Mutex,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet},
    metrics::MetricType,
};

use crate::lock::lock;

/// How one Shop is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShopFigures {
    /// Everything runs as the Shop asks.
    pub ready: bool,
    /// The reason of the condition that says so, or that does not.
    pub reason: String,
    /// Each service that is to have pods has one that is ready, and databases and broker are.
    pub serving: bool,
    /// Which part of their room the events take at the broker, from 0 to 1; none while nobody knows.
    pub broker_filled: Option<f64>,
    /// The services that wait for help, each with the reason.
    pub blocked: BTreeSet<(String, String)>,
}

/// Namespace and name.
type Key = (String, String);

/// All Shops that this replica looks after.
#[derive(Debug, Default)]
pub(super) struct Shops(Mutex<BTreeMap<Key, ShopFigures>>);

impl Shops {
    pub(super) fn set(&self, namespace: &str, shop: &str, figures: ShopFigures) {
        lock(&self.0).insert((namespace.to_owned(), shop.to_owned()), figures);
    }

    pub(super) fn forget(&self, namespace: &str, shop: &str) {
        lock(&self.0).remove(&(namespace.to_owned(), shop.to_owned()));
    }
}

impl Collector for Shops {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shops = lock(&self.0).clone();
        let ready = shops.iter().map(|(key, figures)| {
            let [namespace, shop] = labels(key);
            let reason = ("reason", figures.reason.as_str());
            ([namespace, shop, reason], i64::from(figures.ready))
        });
        let help = "1 while everything runs as the Shop asks, otherwise 0";
        gauges(&mut encoder, "shop_ready", help, ready)?;
        let serving = shops
            .iter()
            .map(|(key, figures)| (labels(key), i64::from(figures.serving)));
        let help = "1 while every service has a pod that is ready, and databases and broker are, otherwise 0";
        gauges(&mut encoder, "shop_serving", help, serving)?;
        let filled = shops
            .iter()
            .filter_map(|(key, figures)| Some((labels(key), figures.broker_filled?)));
        let help = "Which part of their room the events take at the broker, from 0 to 1";
        gauges(&mut encoder, "shop_broker_filled_ratio", help, filled)?;
        let blocked = shops.iter().flat_map(|(key, figures)| {
            figures.blocked.iter().map(|(service, reason)| {
                let [namespace, shop] = labels(key);
                let service = ("service", service.as_str());
                ([namespace, shop, service, ("reason", reason)], 1_i64)
            })
        });
        let help = "1 while the service waits for help";
        gauges(&mut encoder, "service_blocked", help, blocked)
    }
}

fn labels((namespace, shop): &Key) -> [(&str, &str); 2] {
    [("namespace", namespace), ("shop", shop)]
}

/// One family; none where nothing is to be said.
fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, V)>,
) -> fmt::Result {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
