//! The services that the pages are made of, as their contracts have them (`contracts/openapi`).

pub(crate) mod email;
pub(crate) mod orders;
pub(crate) mod search;
pub(crate) mod users;

use chassis::client::PeerError;
use http::StatusCode;
use url::form_urlencoded::Serializer;

/// Who a part of a page comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Users,
    Search,
    Orders,
    Email,
}

/// The stable code of a refusal, with its status; `None` where the service is away or does not keep its contract.
pub(crate) fn refusal(error: &PeerError) -> Option<(StatusCode, &str)> {
    match error {
        PeerError::Status {
            status,
            problem: Some(problem),
            ..
        } if status.is_client_error() => Some((*status, problem.code.as_str())),
        PeerError::Status { .. } | PeerError::Unreachable { .. } | PeerError::Malformed { .. } => {
            None
        }
    }
}

/// The stable code of any error that the service answered.
pub(crate) fn said(error: &PeerError) -> Option<&str> {
    match error {
        PeerError::Status { problem, .. } => problem.as_ref().map(|problem| problem.code.as_str()),
        PeerError::Unreachable { .. } | PeerError::Malformed { .. } => None,
    }
}

/// A path with those of the parameters that are given.
pub(crate) fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters.iter();
    let given = given.filter_map(|(name, value)| Some((name, (*value)?)));
    let mut query = Serializer::new(String::new());
    format!("{path}?{}", query.extend_pairs(given).finish())
}
