//! The first page: the catalogue and its search.

mod wish;

use askama::Template;
use axum::extract::{RawQuery, State as Of};
use axum::response::Response;

use self::wish::Wish;
use super::{State, page};
use crate::failure::{Failure, away};
use crate::marked::{Piece, pieces};
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::search::{FacetValue, Found, Hit};
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
    results: Result<Results, &'static str>,
}

/// What was found, ready to be shown.
struct Results {
    found: Found,
    facets: [Facet; 2],
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
    count: u64,
    is_chosen: bool,
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
    let results = match found {
        Ok(found) => Ok(results(found, &wish, t)),
        Err(error) => Err(match Failure::of(Service::Search, &error) {
            Failure::Away(service) => away(service, t),
            // A link that somebody has changed.
            Failure::NotFound | Failure::Refused | Failure::Foreign | Failure::Ours => {
                t.no_products
            }
        }),
    };
    page(&Catalogue {
        v: &visitor,
        t,
        title: t.search,
        wish: &wish,
        has_wrong_price,
        results,
    })
}

fn results(mut found: Found, wish: &Wish, t: &'static Texts) -> Results {
    let next = found.next_cursor.take();
    let facet = |name, legend, values: Vec<FacetValue>, chosen: &[String]| Facet {
        name,
        legend,
        choices: choices(values, chosen),
    };
    let facets = [
        facet(
            "category",
            t.category,
            std::mem::take(&mut found.facets.category),
            &wish.category,
        ),
        facet(
            "brand",
            t.brand,
            std::mem::take(&mut found.facets.brand),
            &wish.brand,
        ),
    ];
    Results {
        found,
        facets,
        next: next.map(|cursor| wish.link(Some(&cursor))),
    }
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
            count: 0,
            is_chosen: true,
        })
        .collect();
    let shown = values.into_iter().enumerate();
    let shown = shown.filter(|(at, value)| *at < CHOICES || is_chosen(&value.value));
    let shown = shown.map(|(_, FacetValue { value, count })| Choice {
        is_chosen: is_chosen(&value),
        value,
        count,
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
        assert_eq!(chosen, [("brand 19", 1), ("nobody's", 0)]);
    }
}
