//! One read-only GraphQL endpoint beside the pages, for programs that want much with one question. The pages ask the services
//! themselves.

mod limits;
mod loaders;
mod schema;

use async_graphql::{EmptyMutation, EmptySubscription, Request, Response as Answer, Schema};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Of;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::http::Problem;
use secrecy::SecretString;
use serde::Deserialize;

use self::loaders::Loaders;
use self::schema::Query;
use crate::pages::State;
use crate::visitor::{Visitor, Who};

pub(crate) use limits::Documents;

pub(crate) type Graph = Schema<Query, EmptyMutation, EmptySubscription>;

/// The schema, with its limits. What a request may ask is told by [`Documents`].
pub(crate) fn graph() -> Graph {
    limits::bound(Schema::build(Query, EmptyMutation, EmptySubscription)).finish()
}

/// A question, as GraphQL over HTTP has it; one, and not a list of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    query: Option<String>,
    /// The SHA-256 of a document that is known here, in place of `query`.
    document_id: Option<String>,
    #[serde(default)]
    variables: async_graphql::Variables,
    operation_name: Option<String>,
}

/// Who asks, for the answers of the services.
#[derive(Clone)]
enum Asker {
    Nobody,
    /// Somebody with a session that cannot be told good or bad, because users is away.
    Unknown,
    Known(SecretString),
}

impl Asker {
    /// What a program shows, or the session of the browser.
    fn of(headers: &HeaderMap, visitor: &Visitor) -> Self {
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let (scheme, token) = shown
                .to_str()
                .ok()
                .and_then(|text| text.split_once(' '))
                .unwrap_or_default();
            // Another scheme is no token that users gave, which the services will say.
            return match scheme.eq_ignore_ascii_case("bearer") {
                true => Self::Known(token.trim().to_owned().into()),
                false => Self::Known(String::new().into()),
            };
        }
        match &visitor.who {
            Who::Guest => Self::Nobody,
            Who::Unknown => Self::Unknown,
            Who::Member(member) => Self::Known(member.token.clone()),
        }
    }
}

pub(crate) async fn answer(
    Of(state): Of<State>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => {
            let detail = format!("Send one JSON object with `query`: {error}.");
            return Problem::invalid("malformed_question", detail).into_response();
        }
    };
    let document = state.documents.allow(
        &question.query.unwrap_or_default(),
        question.document_id.as_deref(),
    );
    let document = match document {
        Ok(document) => document,
        Err(refused) => return refused.into_response(),
    };
    let mut request = Request::new("").variables(question.variables);
    request.operation_name = question.operation_name;
    request.set_parsed_query(document);
    let asker = Asker::of(&headers, &visitor);
    let request = request
        .data(Loaders::new(&state, asker.clone()))
        .data(asker)
        .data(state.clone());
    let answer = state.graph.execute(request).await;
    respond(answer)
}

/// A question that was not answered at all is 400 (GraphQL over HTTP, 6.4.2).
fn respond(answer: Answer) -> Response {
    let kind = HeaderValue::from_static("application/graphql-response+json");
    let status = match answer.is_err() && answer.data == async_graphql::Value::Null {
        true => StatusCode::BAD_REQUEST,
        false => StatusCode::OK,
    };
    (status, [(header::CONTENT_TYPE, kind)], Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    /// Whoever writes a client reads it there. With `UPDATE_SCHEMA=1` it is written anew.
    #[test]
    fn the_schema_is_the_one_that_is_checked_in() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../contracts/graphql/storefront.graphql"
        );
        let sdl = super::graph().sdl();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(file, &sdl).unwrap();
        }
        let checked_in = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            sdl == checked_in,
            "it differs from {file}; UPDATE_SCHEMA=1 writes it"
        );
    }
}
