//! The pages, each with what it asks for, what it shows, and what its forms do.

mod account;
mod cart;
mod catalogue;
mod checkout;
mod language;
mod live;
mod mails;
mod orders;
mod product;
mod staff;
mod unknown;

use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use chassis::auth::Verifier;
use chassis::http::Places;
use chassis::{CancellationToken, StatelessChassis};
use iso_currency::Currency;

use crate::cookies::{Change, Name};
use crate::failure::Failure;
use crate::graphql::{self, Documents, Graph};
use crate::notice::Notice;
use crate::operations::Operations;
use crate::settings::Settings;
use crate::upstream::email::Email;
use crate::upstream::orders::Orders;
use crate::upstream::search::Search;
use crate::upstream::users::Users;

/// What pages are made with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) users: Users,
    pub(crate) search: Search,
    pub(crate) orders: Orders,
    pub(crate) email: Email,
    pub(crate) verifier: Verifier,
    pub(crate) currency: Currency,
    pub(crate) graph: Graph,
    pub(crate) documents: Documents,
    pub(crate) operations: Operations,
    /// For pages that grow while somebody looks.
    pub(crate) live: Places,
    /// Cancelled when the process is told to stop.
    pub(crate) stop: CancellationToken,
}

/// Pages that grow at once, in all and from one address, which many buyers may share: each holds a connection, and the story of an order
/// asks orders once a second. Whoever gets no place loads the page anew.
const FOLLOWED: usize = 256;
const FOLLOWED_FROM_ONE: usize = 64;

/// How long a page waits for what it can be without.
const BESIDE: Duration = Duration::from_secs(1);

impl State {
    pub(crate) fn new(settings: Settings, chassis: &mut StatelessChassis) -> Self {
        Self {
            users: Users::new(
                settings.users_url.clone(),
                settings.users_token,
                chassis.calls(),
            ),
            search: Search::new(settings.search_url, chassis.calls()),
            orders: Orders::new(settings.orders_url, settings.orders_token, chassis.calls()),
            email: Email::new(settings.email_url, chassis.calls()),
            verifier: chassis.verifier(settings.users_url),
            currency: settings.currency,
            graph: graphql::graph(),
            documents: settings.documents,
            operations: settings.operations,
            live: Places::new(FOLLOWED, FOLLOWED_FROM_ONE),
            stop: chassis.stop(),
        }
    }
}

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/", get(catalogue::show))
        .route("/products/{sku}", get(product::show))
        .route("/cart", get(cart::show).post(cart::add))
        .route("/cart/change", post(cart::change))
        .route("/login", get(account::log_in_form).post(account::log_in))
        .route(
            "/register",
            get(account::register_form).post(account::register),
        )
        .route("/logout", post(account::log_out))
        .route("/checkout", get(checkout::show).post(checkout::order))
        .route("/orders", get(orders::list))
        .route("/orders/{id}", get(orders::show))
        .route("/orders/{id}/live", get(live::follow))
        .route("/mails/{id}", get(mails::show))
        .route("/mails/{id}/content", get(mails::content))
        .route("/language", post(language::choose))
        .merge(staff::routes())
        .route("/graphql", post(graphql::answer))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::NotFound)
}

/// A page, or that it could not be written.
pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Shows another page after something was done, so that loading it again does nothing twice. `path` is one of this shop.
pub(crate) fn go_to(path: &str) -> Response {
    // What a header cannot hold is no path of ours.
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

/// The same, and says something there.
fn go_and_say(path: &str, notice: Notice) -> Response {
    let mut response = go_to(path);
    Change::set(Name::Notice, notice.to_string()).apply(&mut response);
    response
}

/// To the log-in, and back here from there.
fn log_in_first(back: &str) -> Response {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", back)
        .finish();
    go_to(&format!("/login?{query}"))
}
