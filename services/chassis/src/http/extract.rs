//! Extractors that answer bad input with a problem that names the field.

use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use garde::Validate;
use serde::de::DeserializeOwned;

use super::decode::{DecodeError, from_json, from_query};
use super::problem::{FieldError, Problem};

/// A JSON body that was parsed and validated. The content type is not asked for: what parses is JSON.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// Query parameters that were parsed and validated. One that is given without a value is refused.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

/// Path parameters that were parsed; one that does not parse is no resource of ours: 404.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

/// The `Idempotency-Key` header: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub const HEADER: &'static str = "idempotency-key";

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for IdempotencyKey {
    type Error = Problem;

    fn try_from(key: &str) -> Result<Self, Problem> {
        if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(key.to_owned()))
        } else {
            Err(Problem::invalid(
                "invalid",
                "The Idempotency-Key must be 1 to 255 visible ASCII characters.",
            ))
        }
    }
}

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(body_problem)?;
        validated(from_json(&body)?).map(Self)
    }
}

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned + Validate<Context = ()> + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let value = from_query(query).map_err(|error| wrong_fields(vec![error]))?;
        validated(value).map(Self)
    }
}

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| {
                Problem::not_found("There is nothing at this path: nothing has a name like that.")
            })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(Self::HEADER) else {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "idempotency_key_missing",
                "Send an Idempotency-Key header, a new one for each thing you want done, the same one when you try again.",
            ));
        };
        // What is no ASCII is refused like other wrong characters.
        Self::try_from(value.to_str().unwrap_or_default())
    }
}

/// For resources where the key is welcome but not asked for: absent is `None`, malformed is the same problem.
impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        if !parts.headers.contains_key(Self::HEADER) {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map(Some)
    }
}

/// The value, or a problem that names each field that is wrong.
pub fn validated<T: Validate<Context = ()>>(value: T) -> Result<T, Problem> {
    match value.validate() {
        Ok(()) => Ok(value),
        Err(report) => {
            let errors = report
                .iter()
                .map(|(path, error)| FieldError {
                    pointer: path.to_string(),
                    detail: error.to_string(),
                })
                .collect();
            Err(wrong_fields(errors))
        }
    }
}

fn wrong_fields(errors: Vec<FieldError>) -> Problem {
    Problem::invalid("invalid", "Some fields are wrong; see errors.").with_errors(errors)
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Syntax(cause) => Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                format!("The body is no JSON: {cause}."),
            ),
            DecodeError::Field(error) if error.pointer.is_empty() => {
                Problem::invalid("invalid", format!("The body {}.", error.detail))
                    .with_errors(vec![error])
            }
            DecodeError::Field(error) => wrong_fields(vec![error]),
        }
    }
}

/// Why a body could not be read: 413 for one that is too large, 400 for one that broke off.
pub fn body_problem(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The body is larger than this resource takes.",
            )
        }
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            "The body broke off before its end.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    struct Line {
        #[garde(range(min = 1, max = 99))]
        quantity: u32,
        #[garde(skip)]
        #[serde(default)]
        brand: Vec<String>,
    }

    async fn json(body: &'static str) -> Result<Line, Problem> {
        let request = Request::new(Body::from(body));
        Json::<Line>::from_request(request, &())
            .await
            .map(|Json(l)| l)
    }

    async fn query(query: &str) -> Result<Line, Problem> {
        let request = Request::builder()
            .uri(format!("/?{query}"))
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        Query::<Line>::from_request_parts(&mut parts, &())
            .await
            .map(|Query(l)| l)
    }

    #[tokio::test]
    async fn bad_json_is_told_from_wrong_fields_and_from_values_out_of_range() {
        assert_eq!(json("{").await.unwrap_err().code, "malformed_json");
        assert_eq!(json("{}").await.unwrap_err().code, "invalid");
        let problem = json("[1]").await.unwrap_err();
        assert_eq!(problem.code, "invalid");
        assert_eq!(problem.detail, "The body must be an object.");
        assert_eq!(problem.errors[0].pointer, "");
        let problem = json(r#"{"quantity": "1"}"#).await.unwrap_err();
        assert_eq!(problem.errors[0].pointer, "quantity");
        let problem = json(r#"{"quantity": 100}"#).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem.errors[0].pointer, "quantity");
        assert_eq!(json(r#"{"quantity": 99}"#).await.unwrap().quantity, 99);
    }

    #[tokio::test]
    async fn query_parameters_may_repeat_and_are_validated() {
        let line = query("quantity=2&brand=a&brand=b%20c").await.unwrap();
        assert_eq!(
            (line.quantity, line.brand),
            (2, vec!["a".to_owned(), "b c".to_owned()])
        );
        assert_eq!(
            query("quantity=0").await.unwrap_err().errors[0].pointer,
            "quantity"
        );
        let problem = query("quantity=x").await.unwrap_err();
        assert_eq!(problem.code, "invalid");
        assert_eq!(problem.errors[0].pointer, "quantity");
    }

    #[tokio::test]
    async fn an_idempotency_key_is_checked() {
        for (value, code) in [
            (None, Some("idempotency_key_missing")),
            (Some(""), Some("invalid")),
            (Some("with space"), Some("invalid")),
            (Some("order-1"), None),
        ] {
            let mut request = Request::builder();
            if let Some(value) = value {
                request = request.header(IdempotencyKey::HEADER, value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let outcome =
                <IdempotencyKey as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
            assert_eq!(outcome.err().map(|p| p.code).as_deref(), code, "{value:?}");
        }
    }
}
