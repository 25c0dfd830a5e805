//! Searching.

use axum::Json;
use axum::extract::State;
use chassis::http::{FieldError, Problem, Query};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::metrics::Answer;
use crate::search::{self, Cursor, MAX_DEPTH, Page, Request, Sort, Text};
use crate::state;

/// Products of a page when the caller does not say.
const LIMIT: usize = 20;

/// What to search for.
#[derive(Debug, Default, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Parameters {
    /// Words of title, brand, category, description and attributes, or a sku. The first 12 words count. Words of 5
    /// letters may have one typo, words of 9 two; the last word may be unfinished unless a blank follows it.
    #[garde(length(chars, max = 200))]
    #[param(max_length = 200, example = "wireles haedphones")]
    q: String,
    /// Only these categories; may be repeated.
    #[garde(length(max = 50))]
    category: Vec<String>,
    /// Only these brands; may be repeated.
    #[garde(length(max = 50))]
    brand: Vec<String>,
    /// The lowest price, in minor units.
    #[garde(skip)]
    min_price: Option<i64>,
    /// The highest price, in minor units.
    #[garde(skip)]
    max_price: Option<i64>,
    /// `true`: only what can be bought; `false`: only what cannot.
    #[garde(skip)]
    in_stock: Option<bool>,
    #[garde(skip)]
    #[param(inline)]
    sort: Sort,
    /// Products of a page, 20 if not given.
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[garde(skip)]
    cursor: Option<String>,
}

impl Parameters {
    fn request(self) -> Result<Request, Problem> {
        if let (Some(min), Some(max)) = (self.min_price, self.max_price)
            && min > max
        {
            return Err(wrong("min_price", "must not be above max_price"));
        }
        let offset = match self.cursor.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => {
                text.parse::<Cursor>()
                    .map_err(|e| wrong("cursor", e))?
                    .offset
            }
            None => 0,
        };
        Ok(Request {
            text: Text::parse(&self.q),
            categories: self.category.into_iter().collect(),
            brands: self.brand.into_iter().collect(),
            min_price: self.min_price,
            max_price: self.max_price,
            in_stock: self.in_stock,
            sort: self.sort,
            offset,
            limit: self.limit.unwrap_or(LIMIT).min(MAX_DEPTH - offset),
        })
    }
}

fn wrong(field: &str, detail: &str) -> Problem {
    Problem::invalid("invalid", format!("{field} {detail}.")).with_errors(vec![FieldError {
        pointer: field.to_owned(),
        detail: detail.to_owned(),
    }])
}

/// Finds products. All words must match; where no product has them all, those with the most of them come first.
#[utoipa::path(get, path = "/products", tag = "search", params(Parameters),
    responses(
        (status = 200, description = "A page of what was found", body = Page),
        (status = 422, description = "`invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`: too many searches at once", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn search(
    State(state): State<state::State>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Page>, Problem> {
    let request = parameters.request()?;
    let index = state.index.clone();
    let Ok(found) = state
        .cores
        .run(move || search::search(&index, &request))
        .await
    else {
        state.metrics.searched(Answer::Refused);
        return Err(Problem::overloaded(
            "More searches at once than this replica takes. Try again in a moment.",
        ));
    };
    let page = found.map_err(|e| Problem::internal(format!("{e:#}")))?;
    state.metrics.searched(if page.total > 0 {
        Answer::Found
    } else {
        Answer::Nothing
    });
    Ok(Json(page))
}
