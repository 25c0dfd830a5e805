//! One walk over the matches, for the page, the total and both facets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::Weight;
use tantivy::{
    DocAddress, DocId, DocSet, Score, SegmentOrdinal, SegmentReader, TERMINATED, TantivyError,
};

use super::cutoff::Cutoff;
use super::request::{Request, Sort};
use super::{FacetValue, Facets};
use crate::index::schema::{AMOUNT, BRAND, CATEGORY, CREATED_AT, CURRENCY, SKU, TITLE_WORDS};

/// Values a facet lists, beside the chosen ones.
const MOST_VALUES: usize = 100;
/// Products between two looks at the clock.
const STRIDE: u32 = 1024;

/// Keeps products of the chosen categories and brands, the best `depth` of them in order, and counts facets
/// disjunctively: categories among the chosen brands, brands among the chosen categories.
pub(super) struct TopAndFacets {
    categories: BTreeSet<String>,
    brands: BTreeSet<String>,
    sort: Sort,
    /// Of products that match alike the shorter title comes first; without words none matches better than another.
    by_title_length: bool,
    /// Whether amounts are compared, so that all must be of one currency.
    compares_amounts: bool,
    depth: usize,
    cutoff: Cutoff,
}

impl TopAndFacets {
    pub(super) fn of(request: &Request, cutoff: &Cutoff) -> Self {
        Self {
            categories: request.categories.clone(),
            brands: request.brands.clone(),
            sort: request.sort,
            by_title_length: !request.text.words().is_empty(),
            compares_amounts: request.compares_amounts(),
            depth: request.offset + request.limit,
            cutoff: cutoff.clone(),
        }
    }
}

/// What orders two products before their skus do: smaller comes first.
type Rank = (i64, i64);

/// A product in its order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    rank: Rank,
    sku: String,
    pub(super) address: DocAddress,
}

/// All of one walk.
#[derive(Debug)]
pub(super) struct Found {
    /// Whether anything matched, of the chosen categories and brands or not.
    pub(super) any: bool,
    /// Whether the walk was cut off.
    pub(super) partial: bool,
    /// The currencies of all that matched, in alphabetical order; empty where amounts are not compared.
    pub(super) currencies: Vec<String>,
    pub(super) total: u64,
    pub(super) facets: Facets,
    pub(super) top: Vec<Place>,
}

impl Collector for TopAndFacets {
    type Fruit = Found;
    type Child = SegmentWalk;

    fn for_segment(
        &self,
        ordinal: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<SegmentWalk> {
        let columns = reader.fast_fields();
        let rank = match self.sort {
            Sort::Relevance if self.by_title_length => {
                RankColumn::Relevance(columns.i64(TITLE_WORDS)?)
            }
            Sort::Relevance => RankColumn::None,
            Sort::Price => RankColumn::Up(columns.i64(AMOUNT)?),
            Sort::PriceDescending => RankColumn::Down(columns.i64(AMOUNT)?),
            Sort::Newest => RankColumn::Down(columns.i64(CREATED_AT)?),
        };
        Ok(SegmentWalk {
            ordinal,
            rank,
            skus: column(reader, SKU)?,
            categories: FacetWalk::new(column(reader, CATEGORY)?, &self.categories)?,
            brands: FacetWalk::new(column(reader, BRAND)?, &self.brands)?,
            currencies: match self.compares_amounts {
                true => Some(FacetWalk::new(column(reader, CURRENCY)?, &BTreeSet::new())?),
                false => None,
            },
            any: false,
            partial: false,
            total: 0,
            depth: self.depth,
            top: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.sort == Sort::Relevance && self.by_title_length
    }

    /// In place of the library's own walk, which cannot be ended early.
    fn collect_segment(
        &self,
        weight: &dyn Weight,
        ordinal: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<tantivy::Result<SegmentFound>> {
        let mut walk = self.for_segment(ordinal, reader)?;
        if self.cutoff.is_over() {
            walk.partial = true;
            return Ok(walk.harvest());
        }
        let mut scorer = weight.scorer(reader, 1.0)?;
        let mut until_look = STRIDE;
        while scorer.doc() != TERMINATED {
            let doc = scorer.doc();
            if !reader.is_deleted(doc) {
                let score = if self.requires_scoring() {
                    scorer.score()
                } else {
                    0.0
                };
                walk.collect(doc, score);
            }
            until_look -= 1;
            if until_look == 0 {
                until_look = STRIDE;
                if self.cutoff.is_over() {
                    walk.partial = true;
                    break;
                }
            }
            scorer.advance();
        }
        Ok(walk.harvest())
    }

    fn merge_fruits(&self, segments: Vec<tantivy::Result<SegmentFound>>) -> tantivy::Result<Found> {
        let (mut any, mut partial, mut total) = (false, false, 0);
        let (mut categories, mut brands) = (BTreeMap::new(), BTreeMap::new());
        let mut currencies = BTreeMap::new();
        let mut top = Vec::new();
        for segment in segments {
            let segment = segment?;
            any |= segment.any;
            partial |= segment.partial;
            add(&mut currencies, segment.currencies);
            total += segment.total;
            add(&mut categories, segment.categories);
            add(&mut brands, segment.brands);
            top.extend(segment.top);
        }
        top.sort_unstable();
        top.truncate(self.depth);
        let facets = Facets {
            category: listed(categories, &self.categories),
            brand: listed(brands, &self.brands),
        };
        Ok(Found {
            any,
            partial,
            currencies: currencies.into_keys().collect(),
            total,
            facets,
            top,
        })
    }
}

fn column(reader: &SegmentReader, name: &str) -> tantivy::Result<StrColumn> {
    reader
        .fast_fields()
        .str(name)?
        .ok_or_else(|| TantivyError::FieldNotFound(name.to_owned()))
}

fn add(sum: &mut BTreeMap<String, u64>, counts: Vec<(String, u64)>) {
    for (value, count) in counts {
        *sum.entry(value).or_default() += count;
    }
}

fn listed(counts: BTreeMap<String, u64>, chosen: &BTreeSet<String>) -> Vec<FacetValue> {
    let mut values: Vec<_> = counts
        .into_iter()
        .map(|(value, count)| FacetValue { value, count })
        .collect();
    // Values come sorted from the map, and the sort is stable: equal counts stay in alphabetical order.
    values.sort_by_key(|v| Reverse(v.count));
    let mut place = 0;
    values.retain(|v| {
        place += 1;
        place <= MOST_VALUES || chosen.contains(&v.value)
    });
    values
}

/// What a product's rank is read from.
enum RankColumn {
    Relevance(Column<i64>),
    Up(Column<i64>),
    Down(Column<i64>),
    None,
}

impl RankColumn {
    fn rank(&self, doc: DocId, score: Score) -> Rank {
        match self {
            Self::Relevance(title_words) => (-(score as i64), title_words.first(doc).unwrap_or(0)),
            Self::Up(column) => (column.first(doc).unwrap_or(0), 0),
            Self::Down(column) => (column.first(doc).unwrap_or(0).saturating_neg(), 0),
            Self::None => (0, 0),
        }
    }
}

/// One facet within one segment: values are numbers here, in the order of their text.
struct FacetWalk {
    column: StrColumn,
    counts: Vec<u64>,
    /// The numbers of the chosen values; `None` where none is chosen and all are welcome.
    chosen: Option<BTreeSet<u64>>,
}

impl FacetWalk {
    fn new(column: StrColumn, chosen: &BTreeSet<String>) -> tantivy::Result<Self> {
        let numbers = chosen
            .iter()
            .filter_map(|value| column.dictionary().term_ord(value.as_bytes()).transpose())
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            counts: vec![0; column.num_terms()],
            chosen: (!chosen.is_empty()).then_some(numbers),
            column,
        })
    }

    fn number(&self, doc: DocId) -> Option<u64> {
        self.column.ords().first(doc)
    }

    fn welcomes(&self, number: Option<u64>) -> bool {
        match (&self.chosen, number) {
            (None, _) => true,
            (Some(chosen), Some(number)) => chosen.contains(&number),
            (Some(_), None) => false,
        }
    }

    fn count(&mut self, number: Option<u64>) {
        if let Some(count) = number.and_then(|n| self.counts.get_mut(n as usize)) {
            *count += 1;
        }
    }

    fn counted(self) -> std::io::Result<Vec<(String, u64)>> {
        let counted = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        counted
            .map(|(number, count)| Ok((text(&self.column, number as u64)?, *count)))
            .collect()
    }
}

fn text(column: &StrColumn, number: u64) -> std::io::Result<String> {
    let mut text = String::new();
    column.ord_to_str(number, &mut text)?;
    Ok(text)
}

/// The walk within one segment.
pub(super) struct SegmentWalk {
    ordinal: SegmentOrdinal,
    rank: RankColumn,
    skus: StrColumn,
    categories: FacetWalk,
    brands: FacetWalk,
    currencies: Option<FacetWalk>,
    any: bool,
    partial: bool,
    total: u64,
    depth: usize,
    /// The best so far, the worst of them on top: rank, number of the sku, document.
    top: BinaryHeap<(Rank, u64, DocId)>,
}

/// What one segment gave.
pub(super) struct SegmentFound {
    any: bool,
    partial: bool,
    currencies: Vec<(String, u64)>,
    total: u64,
    categories: Vec<(String, u64)>,
    brands: Vec<(String, u64)>,
    top: Vec<Place>,
}

impl SegmentCollector for SegmentWalk {
    type Fruit = tantivy::Result<SegmentFound>;

    fn collect(&mut self, doc: DocId, score: Score) {
        let (category, brand) = (self.categories.number(doc), self.brands.number(doc));
        let (in_category, in_brand) = (
            self.categories.welcomes(category),
            self.brands.welcomes(brand),
        );
        self.any = true;
        if let Some(currencies) = &mut self.currencies {
            currencies.count(currencies.number(doc));
        }
        if in_brand {
            self.categories.count(category);
        }
        if in_category {
            self.brands.count(brand);
        }
        if in_category && in_brand {
            self.total += 1;
            self.keep(doc, score);
        }
    }

    fn harvest(self) -> Self::Fruit {
        let places = self.top.into_iter().map(|(rank, number, doc)| {
            Ok(Place {
                rank,
                sku: text(&self.skus, number)?,
                address: DocAddress::new(self.ordinal, doc),
            })
        });
        Ok(SegmentFound {
            any: self.any,
            partial: self.partial,
            currencies: match self.currencies {
                Some(currencies) => currencies.counted()?,
                None => vec![],
            },
            total: self.total,
            top: places.collect::<std::io::Result<_>>()?,
            categories: self.categories.counted()?,
            brands: self.brands.counted()?,
        })
    }
}

impl SegmentWalk {
    fn keep(&mut self, doc: DocId, score: Score) {
        let place = (
            self.rank.rank(doc, score),
            self.skus.ords().first(doc).unwrap_or(0),
            doc,
        );
        if self.top.len() < self.depth {
            self.top.push(place);
        } else if let Some(mut worst) = self.top.peek_mut()
            && place < *worst
        {
            *worst = place;
        }
    }
}
