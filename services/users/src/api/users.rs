//! Accounts.

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chassis::{
    auth::Principal,
    db,
    http::{IdempotencyKey, Json, Problem},
    idempotency::{self, Claim},
};
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    account::{DisplayName, NewAccount, Role, User},
    email_address::EmailAddress,
    password, registration,
    state::State,
    store,
};

/// What someone gives to get an account.
#[derive(Deserialize, Validate, ToSchema)]
pub(crate) struct Registration {
    #[garde(custom(is_email))]
    #[schema(format = Email, max_length = 254, example = "ada@shop.example")]
    email: String,
    #[garde(custom(is_password))]
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 128)]
    password: SecretString,
    #[garde(custom(is_name))]
    #[schema(min_length = 1, max_length = 100, example = "Ada Lovelace")]
    name: String,
}

/// Makes an account with the role `buyer`.
///
/// With an `Idempotency-Key` a repeated request gets the first one's answer, without one `email_taken`.
#[utoipa::path(post, path = "/users", tag = "users", request_body = Registration,
    params(("idempotency-key" = Option<String>, Header, description = "1 to 255 visible ASCII characters", max_length = 255)),
    responses(
        (status = 201, description = "The account", body = User),
        (status = 400, description = "`malformed_json`", body = Problem),
        (status = 409, description = "`email_taken`: the address has an account", body = Problem),
        (status = 422, description = "`invalid` with the fields; `idempotency_key_reused`", body = Problem),
        (status = 429, description = "`rate_limited`: too many registrations, try again after Retry-After", body = Problem),
        (status = 503, description = "`overloaded`, `unavailable`, `schema_behind`: try again after Retry-After", body = Problem),
    ))]
pub(crate) async fn register(
    state: State,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    key: Option<IdempotencyKey>,
    Json(request): Json<Registration>,
) -> Result<Response, Problem> {
    state
        .limits
        .register(client.ip())
        .inspect_err(|_| state.metrics.registrations.count("limited"))?;
    let account = request.account()?;
    let hash = state.hasher.hash(request.password).await?;
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let ticket = match claim(&tx, key, &account).await? {
        Some(Claim::Replay(response)) => return Ok(response),
        Some(Claim::New(ticket)) => Some(ticket),
        None => None,
    };
    let Some(user) = registration::open_account(&tx, &account, &hash).await? else {
        state.metrics.registrations.count("email_taken");
        return Err(Problem::conflict(
            "email_taken",
            "This e-mail address has an account. Log in with it.",
        ));
    };
    let response = match ticket {
        Some(ticket) => ticket.save(&tx, StatusCode::CREATED, &user).await?,
        None => (StatusCode::CREATED, axum::Json(&user)).into_response(),
    };
    tx.commit().await?;
    state.metrics.registrations.count("created");
    tracing::info!(user_id = %user.id, "account registered");
    Ok(response)
}

/// The key is bound to the address and the name. Not to the password: its fast hash must not be stored anywhere.
async fn claim(
    tx: &db::Transaction<'_>,
    key: Option<IdempotencyKey>,
    account: &NewAccount,
) -> Result<Option<Claim>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let scope = format!("register:{}", account.email.key());
    idempotency::claim(tx, &scope, &key, &account.name.as_str())
        .await
        .map(Some)
}

/// The account of whoever asks.
#[utoipa::path(get, path = "/me", tag = "users", security(("bearer" = [])),
    responses(
        (status = 200, description = "The account", body = User),
        (status = 401, description = "`unauthenticated`", body = Problem),
        (status = 503, description = "`unavailable`, `schema_behind`: try again after Retry-After", body = Problem),
    ))]
pub(crate) async fn me(state: State, principal: Principal) -> Result<axum::Json<User>, Problem> {
    store::accounts::find(&state.db.get().await?, principal.id)
        .await?
        .map(axum::Json)
        .ok_or_else(|| {
            Problem::unauthenticated("The account of this token does not exist any more.")
        })
}

impl Registration {
    /// What was validated already, as types that cannot be wrong.
    fn account(&self) -> Result<NewAccount, Problem> {
        let wrong = |cause: &dyn std::fmt::Display| Problem::invalid("invalid", cause.to_string());
        Ok(NewAccount {
            email: EmailAddress::parse(&self.email).map_err(|cause| wrong(&cause))?,
            name: DisplayName::parse(&self.name).map_err(|cause| wrong(&cause))?,
            roles: vec![Role::Buyer],
        })
    }
}

pub(super) fn is_email(text: &str, (): &()) -> garde::Result {
    EmailAddress::parse(text)
        .map(drop)
        .map_err(garde::Error::new)
}

fn is_password(password: &SecretString, (): &()) -> garde::Result {
    password::check_length(password).map_err(garde::Error::new)
}

fn is_name(text: &str, (): &()) -> garde::Result {
    DisplayName::parse(text)
        .map(drop)
        .map_err(garde::Error::new)
}
