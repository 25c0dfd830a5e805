//! What many fields ask for one by one is asked of the services once. A loader lives as long as its request, so that nobody sees what
//! another one may read.

use std::collections::HashMap;
use std::time::Instant;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::deadline;
use futures::future::BoxFuture;
use tracing::Instrument;
use uuid::Uuid;

use super::Asker;
use crate::pages::State;
use crate::upstream::orders::{Entry, Orders};
use crate::upstream::search::{Hit, Search};

/// Of one request.
pub(super) struct Loaders {
    pub(super) products: DataLoader<Products>,
    pub(super) stories: DataLoader<Stories>,
}

impl Loaders {
    pub(super) fn new(state: &State, asker: Asker) -> Self {
        let search = state.search.clone();
        let orders = state.orders.clone();
        let products = DataLoader::new(Products(search), beside);
        let stories = DataLoader::new(Stories { orders, asker }, beside);
        Self {
            products: products.max_batch_size(100),
            stories: stories.max_batch_size(50),
        }
    }
}

/// Runs `work` beside the request, under its deadline and in its trace.
fn beside(work: BoxFuture<'static, ()>) {
    let work = work.in_current_span();
    match deadline::remaining() {
        Some(left) => drop(tokio::spawn(deadline::within(Instant::now() + left, work))),
        None => drop(tokio::spawn(work)),
    }
}

/// Products by sku. One that is not sold any more is left out.
pub(super) struct Products(Search);

impl Loader<String> for Products {
    type Value = std::sync::Arc<Hit>;
    type Error = Away;

    async fn load(&self, skus: &[String]) -> Result<HashMap<String, Self::Value>, Away> {
        let skus: Vec<_> = skus.iter().map(String::as_str).collect();
        let found = self.0.products(&skus).await.map_err(|_| Away)?;
        Ok(found
            .into_iter()
            .map(|(sku, hit)| (sku, hit.into()))
            .collect())
    }
}

/// What happened to orders, by their ids.
pub(super) struct Stories {
    orders: Orders,
    asker: Asker,
}

impl Loader<Uuid> for Stories {
    type Value = std::sync::Arc<Vec<Entry>>;
    type Error = Away;

    async fn load(&self, orders: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, Away> {
        let token = match &self.asker {
            Asker::Nobody => return Ok(HashMap::new()),
            Asker::Unknown => return Err(Away),
            Asker::Known(token) => token,
        };
        let found = self.orders.timelines(token, orders).await;
        let stories = found.map_err(|_| Away)?.into_iter();
        Ok(stories
            .map(|(order, story)| (order, story.into()))
            .collect())
    }
}

/// The service that was asked is away, or refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Away;
