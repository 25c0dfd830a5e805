//! The first page: the catalogue and its search.

mod wish;

use askama::Template;
use axum::extract::{RawQuery, State as Of};
use axum::response::Response;

use self::wish::Wish;
use super::{State, page};
use crate::failure::{Failure, away};
use crate::marked::{Piece, pieces};
use crate::picture::hash;
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::search::{FacetValue, Facets, Found, Hit};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "catalogue.html")]
struct Catalogue<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    wish: &'a Wish,
    /// A price that was typed and is none.
    has_wrong_price: bool,
    facets: [Facet; 2],
    results: Result<Results, &'static str>,
}

/// What was found, ready to be shown.
struct Results {
    found: Found,
    next: Option<String>,
}

/// Values to choose among.
struct Facet {
    name: &'static str,
    legend: &'static str,
    choices: Vec<Choice>,
}

struct Choice {
    value: String,
    /// `None` where nothing is found with it.
    count: Option<u64>,
    is_chosen: bool,
}

impl Choice {
    /// The same for a value wherever it stands: what is chosen keeps its focus while the page changes around it.
    fn id(&self) -> String {
        format!("{:08x}", hash(&self.value))
    }
}

impl Hit {
    fn title(&self) -> Vec<Piece> {
        pieces(&self.highlight.title)
    }

    fn description(&self) -> Vec<Piece> {
        pieces(&self.highlight.description)
    }
}

/// Of a facet, at most so many are shown.
const CHOICES: usize = 12;

pub(super) async fn show(
    Of(state): Of<State>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    let t = visitor.texts;
    let wish = Wish::parse(query.as_deref().unwrap_or_default());
    let (query, has_wrong_price) = wish.query(state.currency);
    let found = state.search.find(&query).await;
    let mut results = match found {
        Ok(found) => Ok(results(found, &wish)),
        Err(error) => Err(match Failure::of(Service::Search, &error) {
            Failure::Away(service) => away(service, t),
            // A link that somebody has changed.
            Failure::NotFound | Failure::Refused | Failure::Foreign | Failure::Ours => {
                t.no_products
            }
        }),
    };
    let facets = facets(results.as_mut().ok(), &wish, t);
    page(&Catalogue {
        v: &visitor,
        t,
        title: t.search,
        wish: &wish,
        has_wrong_price,
        facets,
        results,
    })
}

fn results(mut found: Found, wish: &Wish) -> Results {
    let next = found.next_cursor.take();
    Results {
        found,
        next: next.map(|cursor| wish.link(Some(&cursor))),
    }
}

/// What can be chosen among: without an answer of search, what is chosen.
fn facets(results: Option<&mut Results>, wish: &Wish, t: &'static Texts) -> [Facet; 2] {
    let facets = results.map(|results| std::mem::take(&mut results.found.facets));
    let Facets { category, brand } = facets.unwrap_or_default();
    let facet = |name, legend, values, chosen: &[String]| Facet {
        name,
        legend,
        choices: choices(values, chosen),
    };
    [
        facet("category", t.category, category, &wish.category),
        facet("brand", t.brand, brand, &wish.brand),
    ]
}

/// The most frequent values, and all that are chosen, also those that nothing is found with.
fn choices(values: Vec<FacetValue>, chosen: &[String]) -> Vec<Choice> {
    let is_chosen = |value: &String| chosen.contains(value);
    let missing = chosen
        .iter()
        .filter(|c| !values.iter().any(|v| v.value == **c));
    let missing: Vec<_> = missing
        .map(|value| Choice {
            value: value.clone(),
            count: None,
            is_chosen: true,
        })
        .collect();
    let shown = values.into_iter().enumerate();
    let shown = shown.filter(|(at, value)| *at < CHOICES || is_chosen(&value.value));
    let shown = shown.map(|(_, FacetValue { value, count })| Choice {
        is_chosen: is_chosen(&value),
        value,
        count: Some(count),
    });
    shown.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_stays_to_be_taken_back() {
        let values = (0..20).map(|n| FacetValue {
            value: format!("brand {n}"),
            count: 20 - n,
        });
        let chosen = ["brand 19".to_owned(), "nobody's".to_owned()];
        let choices = choices(values.collect(), &chosen);
        assert_eq!(choices.len(), CHOICES + 2);
        let chosen: Vec<_> = choices.iter().filter(|choice| choice.is_chosen).collect();
        let chosen: Vec<_> = chosen.iter().map(|c| (c.value.as_str(), c.count)).collect();
        assert_eq!(chosen, [("brand 19", Some(1)), ("nobody's", None)]);
    }
}
