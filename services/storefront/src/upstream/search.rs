//! The catalogue.

use std::collections::BTreeMap;

use chassis::client::{CallMetrics, Peer, PeerError};
use serde::Deserialize;
use url::Url;

use crate::money::Money;

#[derive(Clone)]
pub(crate) struct Search(Peer);

/// One page of what was found.
#[derive(Deserialize)]
pub(crate) struct Found {
    pub(crate) items: Vec<Hit>,
    pub(crate) total: u64,
    pub(crate) facets: Facets,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
    pub(crate) partial: bool,
}

#[derive(Deserialize)]
pub(crate) struct Hit {
    pub(crate) sku: String,
    pub(crate) brand: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    pub(crate) in_stock: bool,
    pub(crate) highlight: Highlight,
}

/// HTML, to be taken apart by `marked`.
#[derive(Deserialize)]
pub(crate) struct Highlight {
    pub(crate) title: String,
    pub(crate) description: String,
}

#[derive(Default, Deserialize)]
pub(crate) struct Facets {
    pub(crate) category: Vec<FacetValue>,
    pub(crate) brand: Vec<FacetValue>,
}

#[derive(Deserialize)]
pub(crate) struct FacetValue {
    pub(crate) value: String,
    pub(crate) count: u64,
}

#[derive(Deserialize)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) brand: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Search {
    pub(crate) fn new(base: Url, calls: CallMetrics) -> Self {
        Self(Peer::new("search", base, None, calls))
    }

    /// `query` as the contract has it.
    pub(crate) async fn find(&self, query: &str) -> Result<Found, PeerError> {
        self.0.get(&format!("/products?{query}")).send().await
    }

    /// `sku` must be one, see `guest_cart::is_sku`: it becomes part of a path.
    pub(crate) async fn product(&self, sku: &str) -> Result<Product, PeerError> {
        let call = self.0.get(&format!("/products/{sku}"));
        call.template("/products/{sku}").send().await
    }
}
