//! One who buys and one who searches while something else happens, and what they saw of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::shop::{Account, Shop};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// From a cart to an order that is paid.
    Buyer,
    /// One search.
    Searcher,
}

/// What callers saw.
#[derive(Default)]
pub struct Seen {
    /// How long each answer took, in seconds.
    times: Vec<(Caller, f64)>,
    /// Why each of the others failed.
    pub failures: Vec<String>,
}

impl Seen {
    /// How many there were.
    pub fn requests(&self) -> usize {
        self.times.len() + self.failures.len()
    }

    /// Of all, in seconds; 0 where nothing was answered.
    pub fn p99(&self) -> f64 {
        Self::p99_among(self.times.iter().map(|(_, time)| *time).collect())
    }

    /// Of one of them, in seconds; 0 where nothing was answered.
    pub fn p99_of(&self, caller: Caller) -> f64 {
        let of_caller = self.times.iter().filter(|(who, _)| *who == caller);
        Self::p99_among(of_caller.map(|(_, time)| *time).collect())
    }

    fn p99_among(mut times: Vec<f64>) -> f64 {
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1);
        times.get(last * 99 / 100).copied().unwrap_or_default()
    }
}

/// A request: who made it, when it began, how long it took, and why it failed if it did.
type Request = (Caller, Instant, Duration, Result<(), String>);

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
        for (caller, _, took, result) in self.0.iter().filter(|(_, began, ..)| are(*began)) {
            match result {
                Ok(()) => seen.times.push((*caller, took.as_secs_f64())),
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
                tokio::spawn(go_on(Caller::Buyer, running.clone(), buy)),
                tokio::spawn(go_on(Caller::Searcher, running.clone(), search)),
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
    caller: Caller,
    running: Arc<AtomicBool>,
    act: impl Fn() -> F,
) -> Vec<Request> {
    let mut log = vec![];
    while running.load(Ordering::Relaxed) {
        let began = Instant::now();
        let result = act().await.map_err(|error| format!("{error:#}"));
        log.push((caller, began, began.elapsed(), result));
    }
    log
}
