//! A request as a query of the index.
//!
//! The score of a product is a sum of whole numbers that depend on the product alone: no word counts over the whole
//! index, which differ between replicas until their segments are merged. So every replica ranks alike, and pages fit
//! together whoever answers them.

use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, FuzzyTermQuery,
    Occur, PhraseQuery, Query, RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

use super::request::{Request, Text};
use super::words::{Match, Word};
use crate::index::schema::Fields;

/// Whether a product must have all words or may miss some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    AllWords,
    AnyWord,
}

/// Where a word was found, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Title,
    Brand,
    Category,
    Description,
}

impl Attribute {
    pub(super) const ALL: [Self; 4] = [Self::Title, Self::Brand, Self::Category, Self::Description];

    fn field(self, fields: &Fields) -> Field {
        match self {
            Self::Title => fields.title_text,
            Self::Brand => fields.brand_text,
            Self::Category => fields.category_text,
            Self::Description => fields.description_text,
        }
    }
}

/// Two words of the query side by side in the title: less than a better attribute, more than a better match.
pub(super) const SIDE_BY_SIDE: u32 = 15;
/// The query is the sku: above all words together.
const SKU: u32 = 1_000_000;

/// What a word adds to the score. One more word counts above all; then a typo less; then the attribute; then the match.
/// Sums stay below 2^24, to where 32-bit floats count without loss.
pub(super) fn score(matched: Match, attribute: Attribute) -> u32 {
    let word = 10_000;
    let typos = match matched {
        Match::Exact | Match::Form | Match::Prefix | Match::Synonym => 200,
        Match::OneTypo => 100,
        Match::TwoTypos => 0,
    };
    let place = match attribute {
        Attribute::Title => 60,
        Attribute::Brand => 40,
        Attribute::Category => 20,
        Attribute::Description => 0,
    };
    let kind = match matched {
        Match::Exact => 9,
        Match::Form => 8,
        Match::Prefix => 7,
        Match::Synonym => 5,
        Match::OneTypo | Match::TwoTypos => 0,
    };
    word + typos + place + kind
}

/// The query for everything but the chosen categories and brands: those are the collector's, which needs to see what they
/// leave out to count the facets.
pub(super) fn build(fields: &Fields, request: &Request, need: Need) -> Box<dyn Query> {
    let mut clauses = vec![(Occur::Must, text(fields, &request.text, need))];
    clauses.extend(price(fields, request).map(filter));
    clauses.extend(in_stock(fields, request).map(filter));
    Box::new(BooleanQuery::new(clauses))
}

fn filter(query: Box<dyn Query>) -> (Occur, Box<dyn Query>) {
    (Occur::Must, scored(query, 0))
}

fn scored(query: Box<dyn Query>, score: u32) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(query, score as f32))
}

fn price(fields: &Fields, request: &Request) -> Option<Box<dyn Query>> {
    if request.min_price.is_none() && request.max_price.is_none() {
        return None;
    }
    let bound = |amount: Option<i64>| match amount {
        Some(amount) => Bound::Included(Term::from_field_i64(fields.amount, amount)),
        None => Bound::Unbounded,
    };
    Some(Box::new(RangeQuery::new(
        bound(request.min_price),
        bound(request.max_price),
    )))
}

fn in_stock(fields: &Fields, request: &Request) -> Option<Box<dyn Query>> {
    let term = Term::from_field_bool(fields.in_stock, request.in_stock?);
    Some(Box::new(TermQuery::new(term, IndexRecordOption::Basic)))
}

fn text(fields: &Fields, text: &Text, need: Need) -> Box<dyn Query> {
    match text {
        Text::Anything => scored(Box::new(AllQuery), 0),
        Text::NoWord => Box::new(EmptyQuery),
        Text::Words { words, whole } => {
            let sku = Term::from_field_text(fields.sku, whole);
            let sku = scored(Box::new(TermQuery::new(sku, IndexRecordOption::Basic)), SKU);
            Box::new(BooleanQuery::union(vec![
                sku,
                all_words(fields, words, need),
            ]))
        }
    }
}

fn all_words(fields: &Fields, words: &[Word], need: Need) -> Box<dyn Query> {
    let occur = match need {
        Need::AllWords => Occur::Must,
        Need::AnyWord => Occur::Should,
    };
    let mut clauses: Vec<_> = words.iter().map(|w| (occur, word(fields, w))).collect();
    for pair in words.windows(2) {
        let terms = pair
            .iter()
            .map(|w| Term::from_field_text(fields.title_text, &w.text))
            .collect();
        clauses.push((
            Occur::Should,
            scored(Box::new(PhraseQuery::new(terms)), SIDE_BY_SIDE),
        ));
    }
    Box::new(BooleanQuery::new(clauses))
}

/// One word, wherever and however it matches; the best match counts.
fn word(fields: &Fields, word: &Word) -> Box<dyn Query> {
    let ways = Attribute::ALL.into_iter().flat_map(|attribute| {
        let field = attribute.field(fields);
        ways(field, word)
            .into_iter()
            .map(move |(matched, query)| scored(query, score(matched, attribute)))
    });
    Box::new(DisjunctionMaxQuery::new(ways.collect()))
}

fn ways(field: Field, word: &Word) -> Vec<(Match, Box<dyn Query>)> {
    let term = || Term::from_field_text(field, &word.text);
    let any_of = |words: &[String]| {
        let terms = words.iter().map(|w| Term::from_field_text(field, w));
        Box::new(TermSetQuery::new(terms.collect::<Vec<_>>()))
    };
    let mut ways: Vec<(Match, Box<dyn Query>)> = vec![(
        Match::Exact,
        Box::new(TermQuery::new(term(), IndexRecordOption::Basic)),
    )];
    if !word.forms.is_empty() {
        ways.push((Match::Form, any_of(&word.forms)));
    }
    if word.open {
        ways.push((
            Match::Prefix,
            Box::new(FuzzyTermQuery::new_prefix(term(), 0, true)),
        ));
    }
    if !word.synonyms.is_empty() {
        ways.push((Match::Synonym, any_of(&word.synonyms)));
    }
    for (typos, matched) in [(1, Match::OneTypo), (2, Match::TwoTypos)] {
        if typos <= word.typos {
            ways.push((matched, Box::new(FuzzyTermQuery::new(term(), typos, true))));
        }
    }
    ways
}
