//! Searching.

use axum::Json;
use axum::extract::State;
use chassis::CancellationToken;
use chassis::http::responses::Common;
use chassis::http::{FieldError, Problem, Query};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::metrics::Answer;
use crate::product::CurrencyCode;
use crate::search::{self, Budget, Cursor, MAX_DEPTH, Page, Request, SearchError, Sort, Text};
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
    #[garde(length(chars, min = 1, max = 200))]
    #[param(min_length = 1, max_length = 200, example = "wireles haedphones")]
    q: Option<String>,
    /// Only these products; may be repeated. What is not in the catalogue is left out.
    #[garde(length(max = 100), inner(length(chars, min = 1, max = 64)))]
    #[param(max_items = 100, min_length = 1, max_length = 64)]
    sku: Vec<String>,
    /// Only these categories; may be repeated.
    #[garde(length(max = 50), inner(length(chars, min = 1)))]
    #[param(max_items = 50, min_length = 1)]
    category: Vec<String>,
    /// Only these brands; may be repeated.
    #[garde(length(max = 50), inner(length(chars, min = 1)))]
    #[param(max_items = 50, min_length = 1)]
    brand: Vec<String>,
    /// The lowest price, in minor units.
    #[garde(skip)]
    min_price: Option<i64>,
    /// The highest price, in minor units.
    #[garde(skip)]
    max_price: Option<i64>,
    /// Only prices in this currency. Must be given where `min_price`, `max_price` or a `sort` by price would compare prices
    /// of several currencies.
    #[garde(skip)]
    currency: Option<CurrencyCode>,
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
    #[param(min_length = 1)]
    cursor: Option<String>,
}

impl Parameters {
    fn request(self) -> Result<Request, Problem> {
        if let (Some(min), Some(max)) = (self.min_price, self.max_price)
            && min > max
        {
            return Err(Problem::invalid_field(
                "min_price",
                "must not be above max_price",
            ));
        }
        let offset = match self.cursor.as_deref() {
            Some(text) => {
                text.parse::<Cursor>()
                    .map_err(|e| Problem::invalid_field("cursor", e))?
                    .offset
            }
            None => 0,
        };
        // Whoever names products gets each of them.
        let default = LIMIT.max(self.sku.len());
        Ok(Request {
            text: Text::parse(self.q.as_deref().unwrap_or_default()),
            skus: self.sku,
            categories: self.category.into_iter().collect(),
            brands: self.brand.into_iter().collect(),
            min_price: self.min_price,
            max_price: self.max_price,
            currency: self.currency.map(String::from),
            in_stock: self.in_stock,
            sort: self.sort,
            offset,
            limit: self.limit.unwrap_or(default).min(MAX_DEPTH - offset),
        })
    }
}

/// Finds products
///
/// All words must match; where no product has them all, those with the most of them come first.
#[utoipa::path(get, path = "/products", tag = "search", operation_id = "find_products", security(()), params(Parameters),
    responses(
        (status = 200, description = "A page of what was found", body = Page),
        (status = 422, description = "`invalid`; `currency_needed`: the prices found are in several currencies", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn find(
    State(state): State<state::State>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Page>, Problem> {
    let request = parameters.request()?;
    let (index, metrics, budget) = (state.index, state.metrics.clone(), Budget::of_request());
    let work = move |abandoned: CancellationToken| {
        let found = search::run(&index, &request, &budget.begin(abandoned.clone()));
        metrics.searched(answer(&found, &abandoned));
        found
    };
    let Ok(found) = state.searches.run(work).await else {
        state.metrics.searched(Answer::Refused);
        return Err(Problem::overloaded(
            "More searches at once than this replica takes. Try again in a moment.",
        ));
    };
    found.map(Json).map_err(|error| match error {
        SearchError::MixedCurrencies(_) => {
            let field = FieldError {
                pointer: "currency".to_owned(),
                detail: "must name one of them".to_owned(),
            };
            let detail = format!("Prices cannot be compared: {error}. Name one as currency.");
            Problem::invalid("currency_needed", detail).with_errors(vec![field])
        }
        SearchError::Index(_) | SearchError::Item(_) => Problem::internal(error),
    })
}

fn answer(found: &Result<Page, SearchError>, abandoned: &CancellationToken) -> Answer {
    match found {
        _ if abandoned.is_cancelled() => Answer::Abandoned,
        Err(SearchError::MixedCurrencies(_)) => Answer::Invalid,
        Err(SearchError::Index(_) | SearchError::Item(_)) => Answer::Failed,
        Ok(page) if page.partial => Answer::Partial,
        Ok(page) if page.total > 0 => Answer::Found,
        Ok(_) => Answer::Nothing,
    }
}
