//! The answers that most routes have, for their OpenAPI description: `responses((status = 200, ...), Common)`.

use utoipa::IntoResponses;

use super::problem::Problem;

/// What every route may answer.
#[derive(IntoResponses)]
pub enum Common {
    #[response(
        status = 503,
        description = "`unavailable`, `overloaded` or `schema_behind`: send the same request again after Retry-After",
        content_type = "application/problem+json",
        headers(("Retry-After" = i32, description = "Seconds"))
    )]
    Unavailable(Problem),
    #[response(
        status = "default",
        description = "Any other error, as a problem document with its own code",
        content_type = "application/problem+json"
    )]
    Other(Problem),
}

/// What a route may answer that asks for a token.
#[derive(IntoResponses)]
#[response(
    status = 401,
    description = "`unauthenticated`: no token, or one that is not valid (any more)",
    content_type = "application/problem+json",
    headers(("WWW-Authenticate" = String, description = "`Bearer`"))
)]
pub struct Unauthenticated(pub Problem);

/// What a route may answer that takes a body.
#[derive(IntoResponses)]
#[response(
    status = 413,
    description = "`too_large`: the body is larger than this resource takes",
    content_type = "application/problem+json"
)]
pub struct TooLarge(pub Problem);
