//! Forms that change something: none is taken that another site sent. Browsers say where a request comes from (`Sec-Fetch-Site`); for
//! those that do not, each form carries what stands in a cookie, which no other site can read or set.

use axum::extract::{FromRequest, FromRequestParts, RawForm, Request};
use axum::http::{HeaderMap, StatusCode};
use chassis::http::Problem;
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::visitor::Visitor;

const SITE: &str = "sec-fetch-site";

/// What a form of ours was filled with.
pub(crate) struct Sent<T>(pub(crate) T);

/// The field that carries what stands in the cookie.
const FIELD: &str = "csrf";

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await?;
        let site = Site::of(&parts.headers);
        // Before it is read: what another site sends is not kept in memory.
        if site == Site::Another {
            return Err(foreign());
        }
        let request = Request::from_parts(parts, body);
        let misfilled = |status| {
            let detail = "The form was not filled as this page sends it.";
            Problem::new(status, "invalid", detail)
        };
        let body = RawForm::from_request(request, state).await;
        let RawForm(body) = body.map_err(|error| misfilled(error.status()))?;
        let shown = form_urlencoded::parse(&body).find(|(name, _)| name == FIELD);
        let shown = shown.map(|(_, value)| value).unwrap_or_default();
        if site == Site::Unsaid && !is_same(&shown, &visitor.csrf) {
            return Err(foreign());
        }
        let fields = serde_urlencoded::from_bytes(&body);
        let fields = fields.map_err(|_| misfilled(StatusCode::UNPROCESSABLE_ENTITY))?;
        Ok(Self(fields))
    }
}

/// A new value for the cookie and the forms of a visitor: 32 letters and digits.
pub(crate) fn new_token() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).take(32);
    letters.map(char::from).collect()
}

/// Where a browser says that a request comes from (Fetch Metadata, 2.3).
#[derive(Debug, PartialEq, Eq)]
enum Site {
    Ours,
    Another,
    Unsaid,
}

impl Site {
    fn of(headers: &HeaderMap) -> Self {
        match headers.get(SITE) {
            None => Self::Unsaid,
            Some(site) if site == "same-origin" => Self::Ours,
            Some(_) => Self::Another,
        }
    }
}

fn is_same(shown: &str, expected: &str) -> bool {
    !expected.is_empty() && shown.as_bytes().ct_eq(expected.as_bytes()).into()
}

fn foreign() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "foreign_form",
        "This form was not sent from a page of this shop, or the page was very old. Load the page again and send it once more.",
    )
}

/// A path of this shop to go back to; another site's address, however it is written, is none.
pub(crate) fn own_path(text: &str) -> Option<&str> {
    let is_own = text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    is_own.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_says_that_another_site_asks() {
        let headers = |site: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert(SITE, site.parse().unwrap());
            }
            headers
        };
        assert_eq!(Site::of(&headers(Some("same-origin"))), Site::Ours);
        assert_eq!(Site::of(&headers(None)), Site::Unsaid);
        for site in ["cross-site", "same-site", "none"] {
            assert_eq!(Site::of(&headers(Some(site))), Site::Another, "{site}");
        }
    }

    #[test]
    fn nobody_without_the_cookie_sends_a_form() {
        assert!(is_same("a", "a"));
        assert!(!is_same("a", "b"));
        assert!(!is_same("", ""));
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(own_path("/cart?x=1"), Some("/cart?x=1"));
        for other in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a b",
            "/\n",
        ] {
            assert_eq!(own_path(other), None, "{other:?}");
        }
    }
}
