//! What a visitor is told when a page cannot be made.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chassis::client::PeerError;
use chassis::http::Problem;

use crate::pages::page;
use crate::texts::{ENGLISH, Texts};
use crate::upstream::{Service, refusal};
use crate::visitor::{Visitor, language, reads_pages};

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    NotFound,
    /// The service that the page is about is away.
    Away(Service),
    /// Something was asked for that a page of ours does not ask for.
    Refused,
    Foreign,
    Ours,
}

impl Failure {
    /// Of a call whose refusals other than 404 a page does not bring about.
    pub(crate) fn of(service: Service, error: &PeerError) -> Self {
        match refusal(error) {
            Some((StatusCode::NOT_FOUND, _)) => Self::NotFound,
            Some((StatusCode::TOO_MANY_REQUESTS, _)) => Self::Away(service),
            Some(_) => {
                tracing::warn!(%error, "a call was refused that should not be");
                Self::Refused
            }
            None => {
                tracing::debug!(%error, "a part of a page is missing");
                Self::Away(service)
            }
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused => StatusCode::BAD_REQUEST,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Ours => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn detail(self, texts: &Texts) -> &'static str {
        match self {
            Self::NotFound => texts.not_found_detail,
            Self::Away(service) => away(service, texts),
            Self::Refused | Self::Ours => texts.try_again,
            Self::Foreign => texts.foreign_form,
        }
    }
}

/// That a service is away, in words.
pub(crate) const fn away(service: Service, texts: &Texts) -> &'static str {
    match service {
        Service::Users => texts.users_away,
        Service::Search => texts.search_away,
        Service::Orders => texts.orders_away,
        Service::Email => texts.email_away,
    }
}

/// A problem, as other programs expect it. The page is made where the visitor is known, see [`as_page`].
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::NotFound => Problem::not_found("There is nothing at this path."),
            Self::Away(service) => Problem::unavailable(away(service, &ENGLISH)).retry_after(5),
            Self::Refused => Problem::new(self.status(), "refused", ENGLISH.try_again),
            Self::Foreign => Problem::forbidden(ENGLISH.foreign_form),
            Self::Ours => Problem::internal("a page could not be made"),
        };
        let mut response = problem.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    detail: &'static str,
}

/// A page in place of a failure, for a browser: one of ours, or what reads a request has refused it.
pub(crate) fn as_page(response: Response, visitor: &Visitor) -> Response {
    let Some(failure) = found_in(&response) else {
        return response;
    };
    let t = visitor.texts;
    let title = match failure {
        Failure::NotFound => t.not_found,
        Failure::Away(_) | Failure::Refused | Failure::Foreign | Failure::Ours => t.went_wrong,
    };
    let detail = failure.detail(t);
    let v = visitor;
    let shown = page(&FailurePage {
        v,
        t,
        title,
        detail,
    });
    let mut shown = (response.status(), shown).into_response();
    if failure.status() == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from_static("5");
        shown.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    shown
}

#[derive(Template)]
#[template(path = "plain.html")]
struct PlainPage {
    t: &'static Texts,
    title: &'static str,
    detail: &'static str,
}

/// A page in place of a problem that was made outside of where the visitor is known: the chassis has too much work, the time is over,
/// something panicked. It asks nobody, because there is no time for that.
pub(crate) async fn in_words(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let texts = reads_pages(headers).then(|| language(headers));
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    match texts {
        Some(t) if kind.is_some_and(|kind| kind == PROBLEM) => plain(response, t),
        _ => response,
    }
}

const PROBLEM: &str = "application/problem+json";

/// The same answer with other words in it: when to come back, and whatever else the problem said in headers, stays.
fn plain(response: Response, t: &'static Texts) -> Response {
    let (title, detail) = match response.status() {
        StatusCode::NOT_FOUND => (t.not_found, t.not_found_detail),
        StatusCode::SERVICE_UNAVAILABLE => (t.went_wrong, t.too_many_at_once),
        StatusCode::GATEWAY_TIMEOUT => (t.went_wrong, t.took_too_long),
        _ => (t.went_wrong, t.try_again),
    };
    let (mut parts, _) = response.into_parts();
    let shown = page(&PlainPage { t, title, detail });
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    parts.headers.insert(header::CONTENT_TYPE, kind);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, shown.into_body())
}

fn found_in(response: &Response) -> Option<Failure> {
    if let Some(failure) = response.extensions().get::<Failure>() {
        return Some(*failure);
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    match response.status() {
        _ if is_page => None,
        StatusCode::NOT_FOUND => Some(Failure::NotFound),
        StatusCode::FORBIDDEN => Some(Failure::Foreign),
        status if status.is_client_error() => Some(Failure::Refused),
        status if status.is_server_error() => Some(Failure::Ours),
        _ => None,
    }
}
