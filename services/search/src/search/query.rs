//! A request as a query of the index.
//!
//! The score of a product is a sum of whole numbers that depend on the product alone: no word counts over the whole
//! index, which differ between replicas until their segments are merged. So every replica ranks alike, and pages fit
//! together whoever answers them.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use strum::IntoEnumIterator;
use tantivy::Term;
use tantivy::query::{
    AllQuery, AutomatonWeight, BooleanQuery, ConstScoreQuery, DfaWrapper, DisjunctionMaxQuery,
    EmptyQuery, EnableScoring, FuzzyTermQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery,
    TermSetQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};

use super::request::{Request, Text};
use crate::index::schema::Fields;
use crate::words::{Match, Word};

/// Whether a product must have all words or may miss some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    AllWords,
    AnyWord,
}

/// Where a word was found, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumIter)]
pub(super) enum Attribute {
    Title,
    Brand,
    Category,
    Description,
}

impl Attribute {
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

/// A request as queries. Made once for both runs, all words and any word: the automata of its words are what costs.
pub(super) struct Plan<'a> {
    fields: &'a Fields,
    request: &'a Request,
    words: Vec<Box<dyn Query>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(fields: &'a Fields, request: &'a Request) -> tantivy::Result<Self> {
        let words = request.text.words().iter();
        Ok(Self {
            fields,
            request,
            words: words
                .map(|w| word(fields, w))
                .collect::<tantivy::Result<_>>()?,
        })
    }

    /// The query for everything but the chosen categories and brands: those are the collector's, which needs to see what
    /// they leave out to count the facets.
    pub(super) fn query(&self, need: Need) -> BooleanQuery {
        let mut clauses = vec![(Occur::Must, self.text(need))];
        clauses.extend(price(self.fields, self.request).map(filter));
        let currency = self.request.currency.as_deref();
        clauses.extend(currency.map(|code| filter(whole_term(self.fields.currency, code))));
        clauses.extend(in_stock(self.fields, self.request).map(filter));
        clauses.extend(skus(self.fields, self.request).map(filter));
        BooleanQuery::new(clauses)
    }

    fn text(&self, need: Need) -> Box<dyn Query> {
        match &self.request.text {
            Text::Anything => scored(Box::new(AllQuery), 0),
            Text::NoWord => Box::new(EmptyQuery),
            Text::Words { words, whole } => {
                let sku = scored(whole_term(self.fields.sku, whole), SKU);
                Box::new(BooleanQuery::union(vec![sku, self.words(words, need)]))
            }
        }
    }

    fn words(&self, words: &[Word], need: Need) -> Box<dyn Query> {
        let occur = match need {
            Need::AllWords => Occur::Must,
            Need::AnyWord => Occur::Should,
        };
        let mut clauses: Vec<_> = self.words.iter().map(|w| (occur, w.box_clone())).collect();
        for pair in words.windows(2) {
            let term = |w: &Word| Term::from_field_text(self.fields.title_text, &w.text);
            let side_by_side = PhraseQuery::new(pair.iter().map(term).collect());
            clauses.push((Occur::Should, scored(Box::new(side_by_side), SIDE_BY_SIDE)));
        }
        Box::new(BooleanQuery::new(clauses))
    }
}

fn filter(query: Box<dyn Query>) -> (Occur, Box<dyn Query>) {
    (Occur::Must, scored(query, 0))
}

fn scored(query: Box<dyn Query>, score: u32) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(query, score as f32))
}

fn skus(fields: &Fields, request: &Request) -> Option<Box<dyn Query>> {
    let terms = request.skus.iter();
    let terms = terms.map(|sku| Term::from_field_text(fields.sku, sku));
    (!request.skus.is_empty()).then(|| Box::new(TermSetQuery::new(terms)) as _)
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

fn whole_term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, text),
        IndexRecordOption::Basic,
    ))
}

/// One word, wherever and however it matches; the best match counts.
fn word(fields: &Fields, word: &Word) -> tantivy::Result<Box<dyn Query>> {
    let automata = automata(word)?;
    let ways = Attribute::iter().flat_map(|attribute| {
        let field = attribute.field(fields);
        ways(field, word, &automata)
            .into_iter()
            .map(move |(matched, query)| scored(query, score(matched, attribute)))
    });
    Ok(Box::new(DisjunctionMaxQuery::new(ways.collect())))
}

type Automata = Vec<(Match, Arc<DfaWrapper>)>;

/// What accepts the words that begin like this one, and those that differ by one typo and by two.
fn automata(word: &Word) -> tantivy::Result<Automata> {
    // Only its text goes into an automaton, which then serves every field.
    let term = || Term::from_field_text(Field::from_field_id(0), &word.text);
    let mut automata = Vec::new();
    if word.open {
        let prefix = FuzzyTermQuery::new_prefix(term(), 0, true).automaton()?;
        automata.push((Match::Prefix, Arc::new(prefix)));
    }
    for (typos, matched) in [(1, Match::OneTypo), (2, Match::TwoTypos)] {
        if typos <= word.typos {
            let mistyped = FuzzyTermQuery::new(term(), typos, true).automaton()?;
            automata.push((matched, Arc::new(mistyped)));
        }
    }
    Ok(automata)
}

fn ways(field: Field, word: &Word, automata: &Automata) -> Vec<(Match, Box<dyn Query>)> {
    // A set of terms as one query would cost a finite-state transducer each: some terms are looked up much faster.
    let any_of = |words: &[String]| -> Box<dyn Query> {
        Box::new(BooleanQuery::union(
            words.iter().map(|w| whole_term(field, w)).collect(),
        ))
    };
    let mut ways = vec![(Match::Exact, whole_term(field, &word.text))];
    if !word.forms.is_empty() {
        ways.push((Match::Form, any_of(&word.forms)));
    }
    if !word.synonyms.is_empty() {
        ways.push((Match::Synonym, any_of(&word.synonyms)));
    }
    for (matched, automaton) in automata {
        let automaton = Arc::clone(automaton);
        ways.push((*matched, Box::new(Accepted { field, automaton })));
    }
    ways
}

/// The products that have a word in `field` which the automaton accepts.
#[derive(Clone)]
struct Accepted {
    field: Field,
    automaton: Arc<DfaWrapper>,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("field", &self.field)
            .finish_non_exhaustive()
    }
}

impl Query for Accepted {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(AutomatonWeight::<DfaWrapper>::new(
            self.field,
            Arc::clone(&self.automaton),
        )))
    }
}
