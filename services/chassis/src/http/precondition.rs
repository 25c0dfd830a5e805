//! `ETag` and `If-Match` (RFC 9110): the version of something, and the versions a write may replace.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::problem::Problem;

/// The header that names `version`.
pub fn etag(version: i64) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// What a write says of the thing it expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing: write in any case.
    Absent,
    /// `*`: some version must be there.
    Any,
    /// One of these must be there. Weak tags are left out: they never match.
    Tags(Vec<String>),
}

impl IfMatch {
    /// What the request says.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::IF_MATCH).iter().peekable();
        if values.peek().is_none() {
            return Self::Absent;
        }
        let tags: Vec<_> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().to_owned())
            .collect();
        if tags.iter().any(|tag| tag == "*") {
            Self::Any
        } else {
            Self::Tags(tags)
        }
    }

    /// `what` names the thing for people, `current` is its version where it exists.
    ///
    /// # Errors
    /// 412 where `current` is not what was expected.
    pub fn check(&self, what: &str, current: Option<i64>) -> Result<(), Problem> {
        let holds = match (self, current) {
            (Self::Absent, _) | (Self::Any, Some(_)) => true,
            (Self::Any | Self::Tags(_), None) => false,
            (Self::Tags(tags), Some(version)) => tags.contains(&format!("\"{version}\"")),
        };
        if holds {
            return Ok(());
        }
        let found = match current {
            Some(version) => format!("it is at version {version}"),
            None => "there is none".to_owned(),
        };
        Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            format!("{what} is not as If-Match says: {found}. Read it again and decide anew."),
        ))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn holds(value: Option<&'static str>, current: Option<i64>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
        }
        IfMatch::of(&headers).check("It", current).is_ok()
    }

    #[test]
    fn a_write_goes_through_only_where_its_expectation_holds() {
        assert!(holds(None, None) && holds(None, Some(3)));
        assert!(holds(Some("*"), Some(3)) && !holds(Some("*"), None));
        assert!(holds(Some("\"3\""), Some(3)) && holds(Some("\"2\", \"3\""), Some(3)));
        assert!(!holds(Some("\"2\""), Some(3)) && !holds(Some("\"3\""), None));
        assert!(!holds(Some("W/\"3\""), Some(3)), "weak tags never match");
        assert!(!holds(Some("3"), Some(3)), "a tag has quotes");
    }
}
