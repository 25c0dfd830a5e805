//! One who buys and one who searches while something else happens, and what they saw of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::shop::{Account, Shop};

/// What callers saw.
#[derive(Default)]
pub struct Seen {
    /// How long each answer took, in seconds.
    times: Vec<f64>,
    /// Why each of the others failed.
    pub failures: Vec<String>,
}

impl Seen {
    /// How many there were.
    pub fn requests(&self) -> usize {
        self.times.len() + self.failures.len()
    }

    /// In seconds; 0 where nothing was answered.
    pub fn p99(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1);
        times.get(last * 99 / 100).copied().unwrap_or_default()
    }
}

/// A request: when it began, how long it took, and why it failed if it did.
type Request = (Instant, Duration, Result<(), String>);

/// All that was asked.
pub struct Requests(Vec<Request>);

impl Requests {
    /// What began before this moment.
    pub fn before(&self, moment: Instant) -> Seen {
        self.those(|began| began < moment)
    }

    /// What began at this moment or later.
    pub fn since(&self, moment: Instant) -> Seen {
        self.those(|began| began >= moment)
    }

    /// What began in this time.
    pub fn between(&self, from: Instant, to: Instant) -> Seen {
        self.those(|began| (from..to).contains(&began))
    }

    fn those(&self, are: impl Fn(Instant) -> bool) -> Seen {
        let mut seen = Seen::default();
        for (_, took, result) in self.0.iter().filter(|(began, ..)| are(*began)) {
            match result {
                Ok(()) => seen.times.push(took.as_secs_f64()),
                Err(error) => seen.failures.push(error.clone()),
            }
        }
        seen
    }
}

/// One who buys and one who searches, each one request after the other.
pub struct Traffic {
    running: Arc<AtomicBool>,
    tasks: [JoinHandle<Vec<Request>>; 2],
}

impl Traffic {
    /// Begins with a new account and a new product.
    pub async fn start(shop: &Shop, admin: &Account) -> Result<Self> {
        let buyer = Arc::new(shop.register("Noor").await?);
        let sku = shop.product_for_sale(admin, 100_000).await?;
        let running = Arc::new(AtomicBool::new(true));
        let (buys, searches) = (shop.clone(), shop.clone());
        let buy = move || {
            let (shop, buyer, sku) = (buys.clone(), buyer.clone(), sku.clone());
            async move { shop.buy(&buyer, &sku, 1, "tok_approved").await.map(drop) }
        };
        let search = move || {
            let shop = searches.clone();
            async move {
                shop.search(&[("q", "kettle"), ("limit", "1")])
                    .await
                    .map(drop)
            }
        };
        Ok(Self {
            tasks: [
                tokio::spawn(go_on(running.clone(), buy)),
                tokio::spawn(go_on(running.clone(), search)),
            ],
            running,
        })
    }

    /// All that was asked until now.
    pub async fn stop(self) -> Result<Requests> {
        self.running.store(false, Ordering::Relaxed);
        let mut all = vec![];
        for task in self.tasks {
            all.extend(task.await?);
        }
        Ok(Requests(all))
    }
}

async fn go_on<F: Future<Output = Result<()>>>(
    running: Arc<AtomicBool>,
    act: impl Fn() -> F,
) -> Vec<Request> {
    let mut log = vec![];
    while running.load(Ordering::Relaxed) {
        let began = Instant::now();
        let result = act().await.map_err(|error| format!("{error:#}"));
        log.push((began, began.elapsed(), result));
    }
    log
}
