//! Problems as gRPC says them, and back. The stable `code` of a problem travels as the reason of a `google.rpc.ErrorInfo`.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::StatusCode;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::application::ISSUER;
use crate::http::{FieldError, Problem};
use crate::telemetry::current_trace_id;

/// Of several lines with the same status or code the first is meant.
const CODES: [(StatusCode, Code); 14] = [
    (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument),
    (StatusCode::BAD_REQUEST, Code::InvalidArgument),
    (StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange),
    (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
    (StatusCode::FORBIDDEN, Code::PermissionDenied),
    (StatusCode::NOT_FOUND, Code::NotFound),
    (StatusCode::CONFLICT, Code::FailedPrecondition),
    (StatusCode::CONFLICT, Code::Aborted),
    (StatusCode::PRECONDITION_FAILED, Code::FailedPrecondition),
    (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
    (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
    (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
    (StatusCode::NOT_IMPLEMENTED, Code::Unimplemented),
    (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
];

const TRACE_ID: &str = "trace_id";
/// Between the handler and the edge: what the database said is missing. Never sent.
pub(super) const SOMETHING_MISSING: &str = "x-something-missing";

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let retry_after = problem.seconds_to_wait();
        let code = code_of(problem.status, retry_after.is_some());
        let trace = problem.trace_id.as_deref().map(str::to_owned);
        let metadata: HashMap<_, _> = trace
            .or_else(current_trace_id)
            .map(|id| (TRACE_ID.to_owned(), id))
            .into_iter()
            .collect();
        let mut details = ErrorDetails::with_error_info(&problem.code, ISSUER, metadata);
        if let Some(seconds) = retry_after {
            details.set_retry_info(Some(Duration::from_secs(seconds.into())));
        }
        for error in &problem.errors {
            details.add_bad_request_violation(&error.pointer, &error.detail);
        }
        let mut headers = MetadataMap::new();
        if let Some(cause) = problem.something_missing() {
            // Only the fact counts, where the words cannot be a header.
            let cause = cause
                .parse()
                .unwrap_or_else(|_| "unknown".parse().expect("ASCII"));
            headers.insert(SOMETHING_MISSING, cause);
        }
        Self::with_error_details_and_metadata(code, problem.detail, details, headers)
    }
}

/// What may be tried again as it is, once something else has ended, is told from what may not.
fn code_of(status: StatusCode, try_again: bool) -> Code {
    if status == StatusCode::CONFLICT && try_again {
        return Code::Aborted;
    }
    let mut codes = CODES.iter();
    let known = codes.find(|(known, _)| *known == status);
    known.map_or(Code::Unknown, |(_, code)| *code)
}

/// The problem that a neighbour answered, or the nearest to what it said.
pub(super) fn problem(status: &Status) -> Problem {
    let mut codes = CODES.iter();
    let known = codes.find(|(_, code)| *code == status.code());
    let http = known.map_or(StatusCode::INTERNAL_SERVER_ERROR, |(status, _)| *status);
    let details = status.get_error_details();
    let code = details.error_info().map_or("none", |info| &info.reason);
    let mut problem = Problem::new(http, code, status.message());
    let violations = details.bad_request().map(|bad| bad.field_violations.iter());
    problem.errors = violations
        .into_iter()
        .flatten()
        .map(|violation| FieldError {
            pointer: violation.field.clone(),
            detail: violation.description.clone(),
        })
        .collect();
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_comes_back_as_it_was() {
        let wrong = vec![FieldError {
            pointer: "amount".into(),
            detail: "is too small".into(),
        }];
        let sent = Problem::invalid("invalid", "Some fields are wrong.").with_errors(wrong);
        let status = Status::from(sent);
        assert_eq!(status.code(), Code::InvalidArgument);
        let back = problem(&status);
        assert_eq!((back.status.as_u16(), back.code.as_str()), (422, "invalid"));
        assert_eq!(back.detail, "Some fields are wrong.");
        assert_eq!(back.errors[0].pointer, "amount");
    }

    #[test]
    fn what_may_be_tried_again_has_another_code_than_what_may_not() {
        let busy = Problem::conflict("payment_busy", "Wait.").retry_after(1);
        let status = Status::from(busy);
        assert_eq!(status.code(), Code::Aborted);
        let retry = status.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
        assert_eq!(problem(&status).status, StatusCode::CONFLICT);
        let never = Status::from(Problem::conflict("conflict", "No."));
        assert_eq!(never.code(), Code::FailedPrecondition);
    }

    #[test]
    fn every_status_of_a_problem_has_a_code() {
        for (problem, code) in [
            (Problem::not_found(""), Code::NotFound),
            (Problem::unauthenticated(""), Code::Unauthenticated),
            (Problem::forbidden(""), Code::PermissionDenied),
            (Problem::unavailable(""), Code::Unavailable),
            (Problem::overloaded(""), Code::Unavailable),
            (Problem::internal("a test"), Code::Internal),
        ] {
            let status = problem.status;
            assert_eq!(Status::from(problem).code(), code, "{status}");
        }
        assert_eq!(code_of(StatusCode::IM_A_TEAPOT, false), Code::Unknown);
    }
}
