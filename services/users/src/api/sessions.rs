//! Logging in, staying logged in, logging out.

use axum::http::{HeaderName, StatusCode, header};
use chassis::http::responses::{Common, TooLarge};
use chassis::http::{ClientIp, Json, Problem};
use garde::Validate;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access_token,
    account::Role,
    email_address::EmailAddress,
    password_text, refresh_token,
    refresh_token::RefreshToken,
    session::{self, Exchange},
    state::State,
};

/// What someone gives to log in.
#[derive(Deserialize, Validate, ToSchema)]
pub(crate) struct Credentials {
    #[garde(custom(super::users::is_email))]
    #[schema(format = Email, max_length = 254, example = "ada@shop.example")]
    email: String,
    #[garde(custom(is_no_longer_than::<{ password_text::MAX_LENGTH }>))]
    #[schema(value_type = String, format = Password, max_length = 128)]
    password: SecretString,
}

/// The refresh token of a session.
#[derive(Deserialize, Validate, ToSchema)]
pub(crate) struct SessionToken {
    #[garde(custom(is_no_longer_than::<{ refresh_token::MAX_LENGTH }>))]
    #[schema(value_type = String, format = Password, max_length = 200)]
    refresh_token: SecretString,
}

/// What ends.
#[derive(Deserialize, Validate, ToSchema)]
pub(crate) struct LogOut {
    #[garde(custom(is_no_longer_than::<{ refresh_token::MAX_LENGTH }>))]
    #[schema(value_type = String, format = Password, max_length = 200)]
    refresh_token: SecretString,
    /// All sessions of the account, on every device, if the one of the token is alive.
    #[serde(default)]
    #[garde(skip)]
    everywhere: bool,
}

/// What someone who is logged in holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// Send it as `Authorization: Bearer ...`.
    #[serde(serialize_with = "expose")]
    #[schema(value_type = String)]
    access_token: SecretString,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token ends.
    #[schema(example = 900)]
    expires_in: i64,
    /// Good for one exchange, for 30 days.
    #[serde(serialize_with = "expose")]
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

type TokenAnswer = (
    StatusCode,
    [(HeaderName, &'static str); 1],
    axum::Json<Tokens>,
);

/// Starts a session.
#[utoipa::path(post, path = "/sessions", tag = "sessions", security(()), request_body = Credentials,
    responses(
        (status = 201, description = "The session's tokens", body = Tokens),
        (status = 400, description = "`malformed_json`, `malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`wrong_credentials`", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: too many attempts, try again after Retry-After", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn log_in(
    state: State,
    client: ClientIp,
    Json(credentials): Json<Credentials>,
) -> Result<TokenAnswer, Problem> {
    let email = EmailAddress::parse(&credentials.email)
        .map_err(|cause| Problem::invalid("invalid", cause.to_string()))?;
    state
        .limits
        .log_in(client, &email)
        .inspect_err(|_| state.metrics.logins.count("limited"))?;
    let Some(account) = state.prove(&email, &credentials.password).await? else {
        state.metrics.logins.count("wrong_credentials");
        return Err(wrong_credentials());
    };
    let now = OffsetDateTime::now_utc();
    let refresh_token = session::start(&state.db, &state.minter, account.user_id, now).await?;
    state.metrics.logins.count("accepted");
    tracing::info!(user_id = %account.user_id, "logged in");
    answer(&state, account.user_id, &account.roles, refresh_token, now)
}

/// Exchanges a refresh token for new tokens. Each works once. Shown again within ten seconds, while the next one was not
/// used yet, it gets the same next one; shown again later, it ends the session.
#[utoipa::path(post, path = "/sessions/refresh", tag = "sessions", security(()), request_body = SessionToken,
    responses(
        (status = 201, description = "The session's new tokens", body = Tokens),
        (status = 400, description = "`malformed_json`, `malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`refresh_token_invalid`: log in again", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn refresh(
    state: State,
    Json(request): Json<SessionToken>,
) -> Result<TokenAnswer, Problem> {
    let now = OffsetDateTime::now_utc();
    let shown = RefreshToken::shown(request.refresh_token);
    let outcome = match session::exchange(&state.db, &state.minter, &shown, now).await? {
        Exchange::Rotated {
            user_id,
            roles,
            next,
        } => {
            state.metrics.refreshes.count("rotated");
            return answer(&state, user_id, &roles, next, now);
        }
        Exchange::Refused => "refused",
        Exchange::Reused => "reused",
    };
    state.metrics.refreshes.count(outcome);
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "refresh_token_invalid",
        "This refresh token does not work (any more). Log in again.",
    ))
}

/// Ends the session of a refresh token, or all of its account. Access tokens still work until they end by themselves.
#[utoipa::path(delete, path = "/sessions", tag = "sessions", security(()), request_body = LogOut,
    responses(
        (status = 204, description = "The session has ended, or there was none"),
        (status = 400, description = "`malformed_json`, `malformed_body`", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn log_out(
    state: State,
    Json(request): Json<LogOut>,
) -> Result<StatusCode, Problem> {
    let shown = RefreshToken::shown(request.refresh_token);
    let now = OffsetDateTime::now_utc();
    if request.everywhere {
        session::end_all(&state.db, &state.minter, &shown, now).await?;
    } else {
        session::end(&state.db, &state.minter, &shown, now).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn answer(
    state: &State,
    user: Uuid,
    roles: &[Role],
    refresh_token: RefreshToken,
    now: OffsetDateTime,
) -> Result<TokenAnswer, Problem> {
    let tokens = Tokens {
        access_token: state
            .signer
            .sign(user, roles, now)
            .map_err(Problem::internal)?,
        token_type: "Bearer",
        expires_in: access_token::LIFETIME.whole_seconds(),
        refresh_token: refresh_token.into_secret(),
    };
    // RFC 6749, 5.1: tokens belong into no cache.
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(tokens),
    ))
}

/// One answer for an unknown address and for a wrong password.
fn wrong_credentials() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong_credentials",
        "The e-mail address or the password is wrong.",
    )
}

fn is_no_longer_than<const MAX: usize>(secret: &SecretString, (): &()) -> garde::Result {
    if secret.expose_secret().chars().count() <= MAX {
        Ok(())
    } else {
        Err(garde::Error::new(format!(
            "must have at most {MAX} characters"
        )))
    }
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}
