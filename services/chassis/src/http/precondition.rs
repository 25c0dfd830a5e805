//! Conditional requests (RFC 9110, 13): the version of something, and the versions that a request is about.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use headers::{ETag, HeaderMapExt, IfMatch, IfNoneMatch};

use super::problem::Problem;

/// The header that names `version`.
pub fn etag(version: i64) -> [(HeaderName, String); 1] {
    [(header::ETAG, quoted(version))]
}

fn quoted(version: i64) -> String {
    format!("\"{version}\"")
}

/// `If-Match` and `If-None-Match` of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Preconditions {
    if_match: Option<IfMatch>,
    if_none_match: Option<IfNoneMatch>,
}

impl Preconditions {
    /// What the request says.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            if_match: headers.typed_get(),
            if_none_match: headers.typed_get(),
        }
    }

    /// Whether a write may go through. `what` names the thing for people, `current` is its version where it exists.
    ///
    /// # Errors
    /// 412 where `current` is not what was expected.
    pub fn check_write(&self, what: &str, current: Option<i64>) -> Result<(), Problem> {
        let tag = current.map(tag);
        let header = match (&self.if_match, &self.if_none_match, &tag) {
            (Some(wanted), _, Some(tag)) if !wanted.precondition_passes(tag) => "If-Match",
            (Some(_), _, None) => "If-Match",
            (_, Some(unwanted), Some(tag)) if !unwanted.precondition_passes(tag) => "If-None-Match",
            (Some(_) | None, Some(_) | None, Some(_)) | (None, Some(_) | None, None) => {
                return Ok(());
            }
        };
        let found = match current {
            Some(version) => format!("it is at version {version}"),
            None => "there is none".to_owned(),
        };
        Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            format!("{what} is not as {header} says: {found}. Read it again and decide anew."),
        ))
    }

    /// Whether whoever reads has this version already: the answer is 304 then, without a body.
    pub fn is_known(&self, version: i64) -> bool {
        self.is_known_as(&tag(version))
    }

    /// The same for what has a tag of another kind.
    pub fn is_known_as(&self, tag: &ETag) -> bool {
        let unwanted = self.if_none_match.as_ref();
        unwanted.is_some_and(|unwanted| !unwanted.precondition_passes(tag))
    }
}

fn tag(version: i64) -> ETag {
    // Digits in quotes are a tag.
    quoted(version).parse().expect("a well-formed entity tag")
}

impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: HeaderName, values: &[&'static str]) -> Preconditions {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_static(value));
        }
        Preconditions::of(&headers)
    }

    fn if_match(value: &'static str, current: Option<i64>) -> bool {
        let preconditions = with(header::IF_MATCH, &[value]);
        preconditions.check_write("It", current).is_ok()
    }

    fn if_none_match(value: &'static str, current: Option<i64>) -> bool {
        let preconditions = with(header::IF_NONE_MATCH, &[value]);
        preconditions.check_write("It", current).is_ok()
    }

    #[test]
    fn a_write_goes_through_only_where_its_expectation_holds() {
        let none = Preconditions::of(&HeaderMap::new());
        assert!(none.check_write("It", None).is_ok() && none.check_write("It", Some(3)).is_ok());
        assert!(if_match("*", Some(3)) && !if_match("*", None));
        assert!(if_match("\"3\"", Some(3)) && if_match("\"2\", \"3\"", Some(3)));
        assert!(!if_match("\"2\"", Some(3)) && !if_match("\"3\"", None));
        assert!(!if_match("W/\"3\"", Some(3)), "weak tags never match");
        assert!(!if_match("3", Some(3)), "a tag has quotes");
    }

    #[test]
    fn a_write_that_must_be_the_first_is_no_second() {
        assert!(if_none_match("*", None) && !if_none_match("*", Some(3)));
        assert!(if_none_match("\"2\"", Some(3)) && !if_none_match("\"2\", \"3\"", Some(3)));
        let refused = with(header::IF_NONE_MATCH, &["*"]).check_write("The lamp", Some(3));
        let problem = refused.unwrap_err();
        assert_eq!(problem.status, StatusCode::PRECONDITION_FAILED);
        assert!(
            problem.detail.contains("If-None-Match"),
            "{}",
            problem.detail
        );
    }

    #[test]
    fn a_copy_is_known_by_any_of_its_tags() {
        for values in [
            &["\"3\""][..],
            &["\"2\", W/\"3\""],
            &["\"2\"", "\"3\""],
            &["*"],
        ] {
            assert!(
                with(header::IF_NONE_MATCH, values).is_known(3),
                "{values:?}"
            );
        }
        for values in [&["\"2\""][..], &["3"], &[]] {
            assert!(
                !with(header::IF_NONE_MATCH, values).is_known(3),
                "{values:?}"
            );
        }
    }
}
