//! Errors as problem documents (RFC 9457) with a stable `code`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db;
use crate::telemetry::{LogLimit, current_trace_id};

// Written here and not taken from a crate because its schema belongs into every OpenAPI document, and the crate that has
// both is tied to an older generation of the schema library.

/// A problem document (RFC 9457). `type` is left out, which means `about:blank`: the `code` says more than a URL would.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The status in words.
    #[serde(default)]
    #[schema(value_type = String, required = true)]
    pub title: Box<str>,
    /// The HTTP status.
    #[serde(with = "status_number")]
    #[schema(value_type = u16)]
    pub status: StatusCode,
    /// A stable word to program against.
    pub code: String,
    /// What happened, to what, and what to do, for people.
    pub detail: String,
    /// Which fields are wrong, when the input was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The trace to look for in logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trace_id: Option<Box<str>>,
    #[serde(skip)]
    retry_after: Option<u16>,
    // Boxed, like the text above: a problem is the error of most functions and must not be large.
    #[serde(skip)]
    something_missing: Option<Box<SomethingMissing>>,
}

/// Marks the answer to a request whose statement named a table or column that is not there, with what the database said.
#[derive(Debug, Clone)]
pub(super) struct SomethingMissing(pub(super) String);

/// One wrong field.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where: `items[2].quantity`, or the name of a parameter; empty for the whole body.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error").into(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            errors: Vec::new(),
            trace_id: None,
            retry_after: None,
            something_missing: None,
        }
    }

    /// Adds the fields that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// Says when to come back, in seconds (`Retry-After`).
    #[must_use]
    pub fn retry_after(mut self, seconds: u16) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// When to come back, in seconds.
    pub(crate) fn seconds_to_wait(&self) -> Option<u16> {
        self.retry_after
    }

    /// What the database said, where a statement named what is not there.
    pub(crate) fn something_missing(&self) -> Option<&str> {
        self.something_missing
            .as_deref()
            .map(|SomethingMissing(cause)| cause.as_str())
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub fn invalid(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// One field or parameter is wrong; `detail` goes on after its name: "must be …".
    pub fn invalid_field(field: &str, detail: &str) -> Self {
        Self::invalid("invalid", format!("{field} {detail}.")).with_errors(vec![FieldError {
            pointer: field.to_owned(),
            detail: detail.to_owned(),
        }])
    }

    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// A dependency is away; the same request may succeed in a moment.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(2)
    }

    /// Too much work at once.
    pub fn overloaded(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
    }

    /// The caller's time is over.
    pub(crate) fn deadline() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "deadline",
            "The answer was not ready within the time the caller gave.",
        )
        .retry_after(1)
    }

    /// The database was replaced by an older one; whoever runs the service must migrate it again.
    pub(crate) fn schema_behind(behind: &db::Behind) -> Self {
        static LINES: LogLimit = LogLimit::new();
        if let Some(left_out) = LINES.due() {
            tracing::warn!(left_out, "{behind}");
        }
        let detail = format!("The database of this service must be migrated: {behind}.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "schema_behind", detail).retry_after(5)
    }

    /// Our own mistake. The cause goes to the log, not to the client.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "request failed by a mistake of this service");
        Self::our_mistake()
    }

    fn our_mistake() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "This is a mistake of the service, not of the request. Its log has the cause under the trace_id.",
        )
    }
}

impl From<db::Error> for Problem {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(cause) => {
                static LINES: LogLimit = LogLimit::new();
                if let Some(left_out) = LINES.due() {
                    tracing::warn!(cause, left_out, "database not available");
                }
                Self::unavailable(
                    "The database of this service is not available. Try again in a moment.",
                )
            }
            db::Error::Query(_) if error.is_retryable() => {
                Self::unavailable("The request collided with another one. Try again.")
            }
            // Whose mistake it is shows when the schema has been looked at, see the edge.
            db::Error::Query(_) if error.names_what_is_missing() => {
                let cause = error.to_string();
                tracing::warn!(error = cause, "a statement names what is not there");
                Self {
                    something_missing: Some(Box::new(SomethingMissing(cause))),
                    ..Self::our_mistake()
                }
            }
            db::Error::Query(_) => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.trace_id = self
            .trace_id
            .or_else(|| current_trace_id().map(String::into_boxed_str));
        let (status, retry_after) = (self.status, self.retry_after);
        let something_missing = self.something_missing.take();
        let mut response = (status, axum::Json(self)).into_response();
        if let Some(something_missing) = something_missing {
            response.extensions_mut().insert(*something_missing);
        }
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

mod status_number {
    use axum::http::StatusCode;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        status: &StatusCode,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(status.as_u16())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<StatusCode, D::Error> {
        let number = u16::deserialize(deserializer)?;
        StatusCode::from_u16(number).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    /// A client that refuses what its document does not name reads every problem.
    #[test]
    fn the_schema_names_all_that_a_problem_may_have() {
        let mut problem = Problem::new(StatusCode::CONFLICT, "taken", "It is taken.");
        problem.errors = vec![FieldError {
            pointer: "sku".into(),
            detail: "is taken".into(),
        }];
        problem.trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
        let sent = serde_json::to_value(&problem).expect("JSON");
        let schema = serde_json::to_value(Problem::schema()).expect("JSON");
        for field in sent.as_object().expect("an object").keys() {
            assert!(!schema["properties"][field].is_null(), "{field}: {schema}");
        }
        let required = schema["required"].as_array().expect("a list");
        assert!(required.contains(&"title".into()), "{schema}");
        let read: Problem = serde_json::from_value(sent).expect("a problem");
        assert_eq!(read.code, "taken");
    }
}
