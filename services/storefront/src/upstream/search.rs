//! The catalogue.

use std::collections::BTreeMap;

use chassis::client::{CallMetrics, Peer, PeerError};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::with_query;
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
    /// As it is, not what matched of it.
    #[serde(rename = "title")]
    pub(crate) name: String,
    pub(crate) brand: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    pub(crate) in_stock: bool,
    #[serde(default)]
    pub(crate) picture: Option<Picture>,
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

/// What a product is, but for its sku.
#[derive(Serialize)]
pub(crate) struct ProductBody {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) brand: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) pictures: Vec<Picture>,
}

/// What came of an import.
#[derive(Deserialize)]
pub(crate) struct Report {
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) failed: Vec<FailedLine>,
}

#[derive(Deserialize)]
pub(crate) struct FailedLine {
    pub(crate) line: u64,
    pub(crate) detail: String,
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
    #[serde(default)]
    pub(crate) pictures: Vec<Picture>,
    #[serde(default)]
    pub(crate) version: Option<i64>,
}

/// Where a picture is, its size in pixels, and what is on it in words.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Picture {
    pub(crate) url: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    #[serde(default)]
    pub(crate) alt: String,
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

    /// These products, by sku; at most 100. What is not in the catalogue is left out.
    pub(crate) async fn products(&self, skus: &[&str]) -> Result<BTreeMap<String, Hit>, PeerError> {
        let mut parameters: Vec<_> = skus.iter().map(|sku| ("sku", Some(*sku))).collect();
        parameters.push(("limit", Some("100")));
        let found = self.0.get(&with_query("/products", &parameters));
        let found: Found = found.send().await?;
        let items = found.items.into_iter();
        Ok(items.map(|hit| (hit.sku.clone(), hit)).collect())
    }

    /// Replaces a product whole if it still is at this version; without one creates it if there is none.
    pub(crate) async fn write(
        &self,
        token: &SecretString,
        sku: &str,
        body: &ProductBody,
        version: Option<i64>,
    ) -> Result<Product, PeerError> {
        let call = self.0.put(&format!("/products/{sku}")).bearer(token);
        let call = call.template("/products/{sku}").if_still(version);
        call.json(body).send().await
    }

    pub(crate) async fn remove(&self, token: &SecretString, sku: &str) -> Result<(), PeerError> {
        let call = self.0.delete(&format!("/products/{sku}")).bearer(token);
        call.template("/products/{sku}").send().await
    }

    /// One product as JSON a line.
    pub(crate) async fn import(
        &self,
        token: &SecretString,
        lines: String,
    ) -> Result<Report, PeerError> {
        let call = self.0.post("/products/import").bearer(token);
        call.text(lines).send().await
    }
}
