//! A search as it was asked for.

use std::collections::BTreeSet;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::words::{self, Word};

/// How deep paging goes. Whoever wants more wants a filter.
pub(crate) const MAX_DEPTH: usize = 1000;

/// In which order products come. Ties go by sku.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    /// Best match first.
    #[default]
    Relevance,
    /// Cheapest first.
    Price,
    /// Dearest first.
    #[serde(rename = "-price")]
    PriceDescending,
    /// Latest addition first.
    Newest,
}

/// What the products should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    /// Nothing was asked: every product.
    Anything,
    /// Something was asked that holds no letter or digit: no product.
    NoWord,
    /// These words, or the product of this very sku.
    Words { words: Vec<Word>, whole: String },
}

impl Text {
    pub(crate) fn parse(q: &str) -> Self {
        if q.trim().is_empty() {
            return Self::Anything;
        }
        match words::of_query(q) {
            words if words.is_empty() => Self::NoWord,
            words => Self::Words {
                words,
                whole: q.trim().to_owned(),
            },
        }
    }

    pub(crate) fn words(&self) -> &[Word] {
        match self {
            Self::Anything | Self::NoWord => &[],
            Self::Words { words, .. } => words,
        }
    }
}

/// A whole search.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) text: Text,
    /// Only these products; all where none is named.
    pub(crate) skus: Vec<String>,
    /// Any of these; all where none is named.
    pub(crate) categories: BTreeSet<String>,
    pub(crate) brands: BTreeSet<String>,
    /// In minor units, both ends included.
    pub(crate) min_price: Option<i64>,
    pub(crate) max_price: Option<i64>,
    /// Only products with a price in this currency.
    pub(crate) currency: Option<String>,
    pub(crate) in_stock: Option<bool>,
    pub(crate) sort: Sort,
    /// How many products to pass over, below [`MAX_DEPTH`].
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl Request {
    /// Whether the answer depends on which of two amounts is larger while their currencies may differ.
    pub(super) fn compares_amounts(&self) -> bool {
        let by_price = match self.sort {
            Sort::Price | Sort::PriceDescending => true,
            Sort::Relevance | Sort::Newest => false,
        };
        let filtered = self.min_price.is_some() || self.max_price.is_some();
        self.currency.is_none() && (by_price || filtered)
    }
}
