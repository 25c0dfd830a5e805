//! Answering a search from the index: pure computation, no waiting.
//!
//! `words` takes a query apart and says how a word matches another one; `query` turns a request into a query of the
//! index; `collect` walks the matches once for page, total and facets; `highlight` marks what matched.

mod collect;
mod cursor;
mod highlight;
mod query;
mod request;
mod synonyms;
pub(crate) mod words;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tantivy::schema::{TantivyDocument, Value};
use utoipa::ToSchema;

use crate::index::ProductIndex;
use crate::product::{Money, ProductBody};
use collect::{Found, TopAndFacets};
pub(crate) use cursor::Cursor;
use query::{Need, Plan};
pub(crate) use request::{MAX_DEPTH, Request, Sort, Text};

/// A product as a search shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) brand: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    pub(crate) in_stock: bool,
}

impl Item {
    pub(crate) fn new(sku: String, body: ProductBody, in_stock: bool) -> Self {
        Self {
            sku,
            title: body.title,
            description: body.description,
            brand: body.brand,
            category: body.category,
            price: body.price,
            in_stock,
        }
    }
}

/// A product that was found.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Hit {
    #[serde(flatten)]
    pub(crate) item: Item,
    pub(crate) highlight: Highlight,
}

/// HTML: escaped text with `<mark>` around what matched.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Highlight {
    /// The whole title.
    pub(crate) title: String,
    /// About 200 characters of the description around the first match.
    pub(crate) description: String,
}

/// One value of a facet and how many products have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FacetValue {
    pub(crate) value: String,
    pub(crate) count: u64,
}

/// Counts over all that was found. A facet counts as if nothing were chosen in it, so that the siblings of a chosen value
/// keep their counts. Most frequent first, at most 100 values each.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Facets {
    pub(crate) category: Vec<FacetValue>,
    pub(crate) brand: Vec<FacetValue>,
}

/// One page of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page {
    pub(crate) items: Vec<Hit>,
    /// How many products match in all.
    pub(crate) total: u64,
    pub(crate) facets: Facets,
    /// Asks for the next page; missing at the end and past the 1 000th product.
    pub(crate) next_cursor: Option<String>,
}

/// Searches. All words must match; where no product has them all, those that have the most come first.
pub(crate) fn search(index: &ProductIndex, request: &Request) -> anyhow::Result<Page> {
    let searcher = index.searcher();
    let collector = TopAndFacets::of(request);
    let plan = Plan::new(index.fields(), request)?;
    let find = |need| searcher.search(&plan.query(need), &collector);
    let mut found = find(Need::AllWords)?;
    if !found.any && request.text.words().len() > 1 {
        found = find(Need::AnyWord)?;
    }
    let next = Cursor::after(request, found.total);
    let Found {
        total, facets, top, ..
    } = found;
    let page = top.into_iter().skip(request.offset);
    let items = page
        .map(|place| {
            let document: TantivyDocument = searcher.doc(place.address)?;
            let json = document
                .get_first(index.fields().item)
                .and_then(|v| v.as_str());
            let item: Item = serde_json::from_str(json.unwrap_or_default())?;
            let highlight = highlight::of(&item, request.text.words());
            Ok(Hit { item, highlight })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Page {
        items,
        total,
        facets,
        next_cursor: next.map(|c| c.to_string()),
    })
}
