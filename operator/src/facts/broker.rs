//! How full the broker of a Shop is: its own figures say so.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    facts::{
        http::{self, Http},
        observe::ObservedBackend,
    },
    lock::lock,
    naming::{names::STREAM, ports::MONITORING_PORT},
};

/// Not with each reconcile: a Shop at work has many.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// The first service that connects makes the stream.
const WITHOUT_STREAM: Duration = Duration::from_secs(5);
/// In bytes. An answer has a kilobyte or two.
const LONGEST_ANSWER: usize = 256 * 1024;
/// From here on there is little room left. Where there is none, the oldest events go.
const NEARLY_FULL: i32 = 90;
/// In percent: so far beyond the borders of its ten a figure is told as it was, so that it does not go to and fro.
const SLACK: u64 = 2;

/// The brokers of all Shops, with a memory of what they said.
#[derive(Default)]
pub struct Brokers {
    http: Http,
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

    /// Rounded down to tens, so that a status seldom changes: `told` is what it says so far.
    pub fn in_tens(self, told: Option<i32>) -> i32 {
        let tens = |percent: u64| i32::try_from(percent / 10 * 10).unwrap_or(100); // at most 100
        match told {
            Some(told)
                if told == tens(self.percent + SLACK)
                    || told == tens(self.percent.saturating_sub(SLACK)) =>
            {
                told
            }
            Some(_) | None => tens(self.percent),
        }
    }
}

/// Whether a broker that is so full, in percent, soon lets its oldest events go.
pub fn is_nearly_full(percent: i32) -> bool {
    percent >= NEARLY_FULL
}

impl Brokers {
    /// How full the broker of this Shop is, as it last said; none while nobody knows.
    pub async fn fill(
        &self,
        namespace: &str,
        shop: &str,
        broker: &ObservedBackend,
    ) -> Option<Fill> {
        let key = (namespace.to_owned(), shop.to_owned());
        let known = lock(&self.known).get(&key).copied();
        let fill = known.and_then(|known| known.fill);
        let now = Instant::now();
        let address = address(broker);
        let Some(address) = address.filter(|_| known.is_none_or(|known| known.until <= now)) else {
            return fill;
        };
        let (fill, wait) = match ask(&self.http, &address).await {
            Ok(Some(fill)) => (Some(fill), ASK_AGAIN),
            Ok(None) => (None, WITHOUT_STREAM),
            Err(error) => {
                tracing::debug!(%error, "the broker does not say how full it is");
                // Whoever does not answer once is as full as before.
                (fill, ASK_AGAIN)
            }
        };
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
    broker.pods.iter().find_map(|pod| http::address(pod))
}

async fn ask(http: &Http, address: &str) -> anyhow::Result<Option<Fill>> {
    let path = "/jsz?streams=true&config=true";
    let answer = http.get(address, MONITORING_PORT, path, LONGEST_ANSWER);
    Ok(serde_json::from_slice::<Figures>(&answer.await?)?.fill())
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
    name: String,
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
    fn fill(&self) -> Option<Fill> {
        let mut streams = self.account_details.iter().flat_map(|a| &a.stream_detail);
        let stream = streams.find(|stream| stream.name == STREAM)?;
        let bound = u64::try_from(stream.config.max_bytes);
        Fill::of(stream.state.bytes, bound.unwrap_or(self.config.max_storage))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    fn percent(max_bytes: i64, bytes: u64) -> Option<i32> {
        // What NATS 2.15 says, but for what is not read.
        let answer = json!({
            "config": {"max_memory": 16777216, "max_storage": 2000, "store_dir": "/data/jetstream"},
            "streams": 1,
            "account_details": [{"name": "$G", "stream_detail": [{
                "name": "OTHER", "config": {"max_bytes": 1}, "state": {"bytes": 1},
            }, {
                "name": "SHOP",
                "config": {"name": "SHOP", "max_msgs": -1, "max_bytes": max_bytes, "discard": "old"},
                "state": {"messages": 3, "bytes": bytes, "first_seq": 1},
            }]}],
        });
        let figures: Figures = serde_json::from_value(answer).expect("figures");
        figures.fill().map(|fill| fill.in_tens(None))
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
    fn what_was_told_stays_while_the_figure_goes_to_and_fro_at_its_border() {
        let after = |told, percent| Fill::of(percent, 100).map(|fill| fill.in_tens(Some(told)));
        assert_eq!(after(30, 41), Some(30));
        assert_eq!(after(30, 42), Some(40));
        assert_eq!(after(40, 38), Some(40));
        assert_eq!(after(40, 37), Some(30));
        assert_eq!(after(100, 98), Some(100));
        assert_eq!(after(0, 100), Some(100));
    }

    /// An answer of a broker that is half full, and how often it was given. Addresses of 127.0.0.0/8 are all of this machine.
    async fn half_full_broker() -> (String, Arc<AtomicUsize>) {
        let address: [u8; 3] = rand::random();
        let ip = format!("127.{}.{}.{}", address[0], address[1], address[2].max(2));
        let listener = TcpListener::bind(format!("{ip}:{MONITORING_PORT}")).await;
        let (listener, asked) = (
            listener.expect("a free port"),
            Arc::new(AtomicUsize::new(0)),
        );
        let count = asked.clone();
        let figures = json!({"config": {"max_storage": 4}, "account_details": [{"stream_detail": [
            {"name": STREAM, "config": {"max_bytes": 2}, "state": {"bytes": 1}}]}]});
        let figures = move || {
            count.fetch_add(1, Ordering::Relaxed);
            ready(axum::Json(figures.clone()))
        };
        let app = axum::Router::new().route("/jsz", axum::routing::get(figures));
        tokio::spawn(axum::serve(listener, app).into_future());
        (ip, asked)
    }

    fn serving(ip: &str) -> ObservedBackend {
        let set = json!({"status": {"replicas": 1, "readyReplicas": 1}});
        let set: StatefulSet = serde_json::from_value(set).expect("a StatefulSet");
        let pod = json!({"status": {"podIP": ip}});
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        ObservedBackend {
            stateful_set: Some(Arc::new(set)),
            pods: vec![Arc::new(pod)],
            claim: None,
        }
    }

    #[tokio::test]
    async fn a_broker_is_asked_once_in_a_while_and_what_it_said_stays_while_it_is_away() {
        let (ip, asked) = half_full_broker().await;
        let brokers = Brokers::default();
        let half = Fill::of(1, 2);
        assert_eq!(
            brokers.fill("n", "shop", &ObservedBackend::default()).await,
            None
        );
        assert_eq!(brokers.fill("n", "shop", &serving(&ip)).await, half);
        assert_eq!(brokers.fill("n", "shop", &serving(&ip)).await, half);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(
            brokers.fill("n", "shop", &ObservedBackend::default()).await,
            half
        );
        brokers.forget("n", "shop");
        assert_eq!(
            brokers.fill("n", "shop", &ObservedBackend::default()).await,
            None
        );
    }

    #[tokio::test]
    async fn a_broker_that_does_not_answer_is_left_alone_for_a_while() {
        let brokers = Brokers::default();
        // Nobody listens there.
        assert_eq!(brokers.fill("n", "shop", &serving("127.0.0.1")).await, None);
        let key = ("n".to_owned(), "shop".to_owned());
        let until = lock(&brokers.known).get(&key).map(|known| known.until);
        assert!(until.is_some_and(|until| until > Instant::now() + ASK_AGAIN / 2));
    }
}
