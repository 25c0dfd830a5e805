//! Answering a search from the index: pure computation, no waiting.
//!
//! `query` turns a request into a query of the index; `collect` walks the matches once for page, total and facets, until
//! `cutoff` ends it; `highlight` marks what matched.

mod collect;
mod cursor;
mod cutoff;
mod highlight;
mod query;
mod request;

#[cfg(test)]
mod tests;

use serde::Serialize;
use tantivy::schema::{TantivyDocument, Value};
use utoipa::ToSchema;

use crate::index::ProductIndex;
use crate::index::item::Item;
use collect::{Found, TopAndFacets};
pub(crate) use cursor::Cursor;
pub(crate) use cutoff::{Budget, Cutoff};
use query::{Need, Plan};
pub(crate) use request::{MAX_DEPTH, Request, Sort, Text};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(crate) next_cursor: Option<String>,
    /// The search took too long and was cut off: better matches may be missing, and `total` and facets count only what was
    /// seen until then.
    pub(crate) partial: bool,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// Amounts of different currencies cannot be compared.
    #[error("the products found have prices in {}", .0.join(", "))]
    MixedCurrencies(Vec<String>),
    #[error(transparent)]
    Index(#[from] tantivy::TantivyError),
    #[error("what the index keeps of a product cannot be read: {0}")]
    Item(#[from] serde_json::Error),
}

/// Searches until `cutoff`. All words must match; where no product has them all, those that have the most come first.
pub(crate) fn run(
    index: &ProductIndex,
    request: &Request,
    cutoff: &Cutoff,
) -> Result<Page, SearchError> {
    let searcher = index.searcher();
    let collector = TopAndFacets::of(request, cutoff);
    let plan = Plan::new(index.fields(), request)?;
    let find = |need| searcher.search(&plan.query(need), &collector);
    let mut found = find(Need::AllWords)?;
    if !found.any && !found.partial && request.text.words().len() > 1 {
        found = find(Need::AnyWord)?;
    }
    if found.currencies.len() > 1 {
        return Err(SearchError::MixedCurrencies(found.currencies));
    }
    let next = Cursor::after(request, found.total);
    let Found {
        total,
        facets,
        top,
        partial,
        ..
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
        .collect::<Result<_, SearchError>>()?;
    Ok(Page {
        items,
        total,
        facets,
        next_cursor: next.map(|c| c.to_string()),
        partial,
    })
}
