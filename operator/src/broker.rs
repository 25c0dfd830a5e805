//! How full the broker of a Shop is: its own figures say so.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    catalogue::MONITORING_PORT, lock::lock, observe::ObservedBackend, validate::ValidShop,
};

/// A reconcile waits this long for the figures. They are not worth more.
const PATIENCE: Duration = Duration::from_secs(1);
/// Not with each reconcile: a Shop at work has many.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// The first service that connects makes the stream.
const WITHOUT_STREAM: Duration = Duration::from_secs(5);
/// In bytes. An answer has a kilobyte or two.
const LONGEST_ANSWER: usize = 256 * 1024;
/// From here on the oldest events go to make room.
const FULL: u64 = 90;

type HttpClient = Client<HttpConnector, Empty<&'static [u8]>>;

/// The brokers of all Shops, with a memory of what they said.
pub struct Brokers {
    client: HttpClient,
    known: Mutex<HashMap<Key, Known>>,
}

/// Namespace and name of a Shop.
type Key = (String, String);

#[derive(Clone, Copy)]
struct Known {
    /// When it is asked again.
    until: Instant,
    fill: Option<Fill>,
}

/// Which part of their room the events take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    percent: u64,
}

impl Fill {
    /// Of `room` bytes so many are taken. Nothing can be said where there is no room.
    pub fn of(taken: u64, room: u64) -> Option<Self> {
        let percent = taken.saturating_mul(100).checked_div(room)?.min(100);
        Some(Self { percent })
    }

    /// Rounded down to tens, so that a status does not change with every event.
    pub fn percent(self) -> i32 {
        // At most 100.
        i32::try_from(self.percent / 10 * 10).unwrap_or(100)
    }

    /// The oldest events go to make room, earlier than they would by their age.
    pub fn is_full(self) -> bool {
        self.percent >= FULL
    }
}

impl Default for Brokers {
    fn default() -> Self {
        Self {
            // Nothing is kept open: a Shop is asked once in minutes.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
            known: Mutex::default(),
        }
    }
}

impl Brokers {
    /// How full the broker of this Shop is, as it said in the last minute; none while nobody knows.
    pub async fn fill(&self, shop: &ValidShop, broker: &ObservedBackend) -> Option<Fill> {
        let address = address(broker)?;
        let key = (shop.namespace.clone(), shop.name.clone());
        let known = lock(&self.known).get(&key).copied();
        let now = Instant::now();
        if let Some(known) = known
            && now < known.until
        {
            return known.fill;
        }
        let answer = timeout(PATIENCE, ask(&self.client, &address)).await;
        let (fill, wait) = match answer {
            Ok(Ok(Some(fill))) => (Some(fill), ASK_AGAIN),
            Ok(Ok(None)) => (None, WITHOUT_STREAM),
            // Whoever does not answer once is as full as before.
            Ok(Err(_)) | Err(_) => (known.and_then(|known| known.fill), ASK_AGAIN),
        };
        if let Ok(Err(error)) = answer {
            tracing::debug!(%error, "the broker does not say how full it is");
        }
        let until = now + wait;
        lock(&self.known).insert(key, Known { until, fill });
        fill
    }

    /// Forgets a Shop that is no longer there.
    pub fn forget(&self, namespace: &str, shop: &str) {
        lock(&self.known).remove(&(namespace.to_owned(), shop.to_owned()));
    }
}

fn address(broker: &ObservedBackend) -> Option<String> {
    if !broker.is_serving() {
        return None;
    }
    let ip = |pod: &Pod| pod.status.as_ref()?.pod_ip.clone();
    let ip = broker.pods.iter().find_map(|pod| ip(pod))?;
    Some(if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip
    })
}

async fn ask(client: &HttpClient, address: &str) -> anyhow::Result<Option<Fill>> {
    let url = format!("http://{address}:{MONITORING_PORT}/jsz?streams=true&config=true");
    let answer = client.get(url.parse()?).await?;
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    Ok(serde_json::from_slice::<Figures>(&body)?.fill())
}

/// What a NATS server says of JetStream: <https://docs.nats.io/running-a-nats-service/nats_admin/monitoring#jetstream-information-jsz>.
#[derive(Deserialize)]
struct Figures {
    config: Limits,
    #[serde(default)]
    account_details: Vec<Account>,
}

#[derive(Deserialize)]
struct Limits {
    max_storage: u64,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    stream_detail: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    config: StreamConfig,
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamConfig {
    /// -1 where it has no bound.
    max_bytes: i64,
}

#[derive(Deserialize)]
struct StreamState {
    bytes: u64,
}

impl Figures {
    /// A Shop has one stream.
    fn fill(&self) -> Option<Fill> {
        let mut streams = self.account_details.iter().flat_map(|a| &a.stream_detail);
        let stream = streams.next()?;
        let bound = u64::try_from(stream.config.max_bytes);
        Fill::of(stream.state.bytes, bound.unwrap_or(self.config.max_storage))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn percent(max_bytes: i64, bytes: u64) -> Option<i32> {
        // What NATS 2.12 says, but for what is not read.
        let answer = json!({
            "config": {"max_memory": 16777216, "max_storage": 2000, "store_dir": "/data/jetstream"},
            "streams": 1,
            "account_details": [{"name": "$G", "stream_detail": [{
                "name": "SHOP",
                "config": {"name": "SHOP", "max_msgs": -1, "max_bytes": max_bytes, "discard": "old"},
                "state": {"messages": 3, "bytes": bytes, "first_seq": 1},
            }]}],
        });
        let figures: Figures = serde_json::from_value(answer).expect("figures");
        figures.fill().map(Fill::percent)
    }

    #[test]
    fn the_fill_is_the_part_of_the_streams_bound_in_tens() {
        assert_eq!(percent(1000, 0), Some(0));
        assert_eq!(percent(1000, 899), Some(80));
        assert_eq!(percent(1000, 1000), Some(100));
        assert_eq!(percent(1000, 5000), Some(100), "a bound that was lowered");
        assert_eq!(percent(-1, 1000), Some(50), "of the server's bound");
        assert_eq!(percent(0, 1), None);
    }

    #[test]
    fn a_broker_that_has_no_stream_yet_says_nothing() {
        let figures = json!({"config": {"max_storage": 1}, "account_details": []});
        let figures: Figures = serde_json::from_value(figures).expect("figures");
        assert_eq!(figures.fill(), None);
    }

    #[test]
    fn from_nine_tenths_on_it_is_full() {
        let is_full = |taken| Fill::of(taken, 100).is_some_and(Fill::is_full);
        assert!(!is_full(89));
        assert!(is_full(90));
    }
}
