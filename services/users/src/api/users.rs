//! Accounts.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chassis::{
    auth::Principal,
    db,
    http::{
        ClientIp, IdempotencyKey, Json, Problem,
        responses::{Common, TooLarge, Unauthenticated},
    },
    idempotency::{self, Claim},
};
use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    account::{NewAccount, Role, User},
    display_name::DisplayName,
    email_address::EmailAddress,
    password_text, registration,
    state::State,
    store,
};

/// What someone gives to get an account.
#[derive(Deserialize, Validate, ToSchema)]
pub(crate) struct Registration {
    #[garde(custom(is_email))]
    #[schema(format = Email, max_length = 254, example = "ada@shop.example")]
    email: String,
    /// Neither one of the first that others would try, nor the address or the name.
    #[garde(custom(is_new_password(&self.email, &self.name)))]
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 128)]
    password: SecretString,
    /// At least one letter, no web or mail address, nothing that cannot be seen.
    #[garde(custom(is_name))]
    #[schema(min_length = 1, max_length = 100, example = "Ada Lovelace")]
    name: String,
}

/// Makes an account with the role `buyer`.
///
/// With an `Idempotency-Key` a repeated request gets the first one's answer, without one `email_taken`. The same key with
/// another name or password is `idempotency_key_reused`.
#[utoipa::path(post, path = "/users", tag = "users", security(()), request_body = Registration,
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, description = "1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses(
        (status = 201, description = "The account", body = User),
        (status = 400, description = "`malformed_json`, `malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken`: the address has an account", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields; `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`: too many registrations, try again after Retry-After", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn register(
    state: State,
    client: ClientIp,
    key: Option<IdempotencyKey>,
    Json(request): Json<Registration>,
) -> Result<Response, Problem> {
    state
        .limits
        .register(client)
        .inspect_err(|_| state.metrics.registrations.count("limited"))?;
    let account = request.account()?;
    let hash = state.hasher.hash(&request.password).await?;
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let ticket = match claim(&tx, key, &account).await? {
        Some(Claim::Replay(response)) => {
            // The connection goes back before the hashing.
            drop(tx);
            drop(connection);
            return replay(&state, &account.email, &request.password, response).await;
        }
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

/// The first answer, for whoever gives the first password: with another one it would be a promise that the log-in breaks.
async fn replay(
    state: &State,
    email: &EmailAddress,
    password: &SecretString,
    response: Response,
) -> Result<Response, Problem> {
    if state.prove(email, password).await?.is_some() {
        return Ok(response);
    }
    Err(Problem::invalid(
        "idempotency_key_reused",
        "This Idempotency-Key was used for an account with another password. Log in, or use a new key.",
    ))
}

/// The key is bound to the address and the name here, and to the password by the account's hash when it is used again: a
/// fast hash of the password must not be stored anywhere.
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
        Unauthenticated,
        Common,
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

fn is_new_password(email: &str, name: &str) -> impl FnOnce(&SecretString, &()) -> garde::Result {
    move |password, ()| password_text::check_new(password, email, name).map_err(garde::Error::new)
}

fn is_name(text: &str, (): &()) -> garde::Result {
    DisplayName::parse(text)
        .map(drop)
        .map_err(garde::Error::new)
}
