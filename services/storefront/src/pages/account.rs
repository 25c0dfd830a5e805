//! Log-in, registration, log-out.

use askama::Template;
use axum::extract::{Query, State as Of};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::client::PeerError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;

use super::{State, go_and_say, go_to, page};
use crate::cookies::{self, Change, Name};
use crate::failure::Failure;
use crate::form::{Sent, own_path};
use crate::guest_cart::GuestCart;
use crate::notice::Notice;
use crate::texts::Texts;
use crate::upstream::users::Tokens;
use crate::upstream::{Service, refusal};
use crate::visitor::{Visitor, keep};

#[derive(Template)]
#[template(path = "log_in.html")]
struct LogInPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    next: &'a str,
    email: &'a str,
    trouble: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    next: &'a str,
    key: &'a str,
    email: &'a str,
    name: &'a str,
    trouble: Option<&'static str>,
    wrong: Vec<Wrong>,
}

/// A field that users refused, in its words.
struct Wrong {
    field: String,
    detail: String,
}

impl RegisterPage<'_> {
    fn wrong_with(&self, field: &str) -> Option<&str> {
        let wrong = self.wrong.iter().find(|wrong| wrong.field == field);
        wrong.map(|wrong| wrong.detail.as_str())
    }
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    email: String,
    password: SecretString,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Registration {
    /// Makes it safe to send again.
    key: Uuid,
    email: String,
    password: SecretString,
    name: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn log_in_form(visitor: Visitor, Query(Next { next }): Query<Next>) -> Response {
    let next = own_path(&next).unwrap_or("/");
    if visitor.is_member() {
        return go_to(next);
    }
    log_in_page(&visitor, next, "", None)
}

fn log_in_page(
    visitor: &Visitor,
    next: &str,
    email: &str,
    trouble: Option<&'static str>,
) -> Response {
    page(&LogInPage {
        v: visitor,
        t: visitor.texts,
        title: visitor.texts.log_in,
        next,
        email,
        trouble,
    })
}

pub(super) async fn log_in(
    Of(state): Of<State>,
    visitor: Visitor,
    Sent(sent): Sent<Credentials>,
) -> Result<Response, Failure> {
    let next = own_path(&sent.next).unwrap_or("/");
    let t = visitor.texts;
    let password = sent.password.expose_secret();
    let tokens = state.users.log_in(&sent.email, password, visitor.client);
    match tokens.await {
        Ok(tokens) => Ok(begin(&state, &visitor, &tokens, next, Notice::LoggedIn).await),
        Err(error) => {
            let (status, trouble) = match refusal(&error) {
                Some((StatusCode::TOO_MANY_REQUESTS, _)) => {
                    (StatusCode::TOO_MANY_REQUESTS, t.too_often)
                }
                // A field that cannot be right is no account either.
                Some((_, "wrong_credentials" | "invalid")) => {
                    (StatusCode::UNAUTHORIZED, t.wrong_credentials)
                }
                Some(_) | None => return Err(Failure::of(Service::Users, &error)),
            };
            let shown = log_in_page(&visitor, next, &sent.email, Some(trouble));
            Ok((status, shown).into_response())
        }
    }
}

/// Begins a session: what the guest chose comes along.
async fn begin(
    state: &State,
    visitor: &Visitor,
    tokens: &Tokens,
    next: &str,
    plain: Notice,
) -> Response {
    let (left, notice) = merge(state, &visitor.guest_cart, &tokens.access_token).await;
    let mut response = go_and_say(next, notice.unwrap_or(plain));
    for change in keep(tokens) {
        change.apply(&mut response);
    }
    let cart = match left.text() {
        text if text.is_empty() => Change::remove(Name::Cart),
        text => Change::set(Name::Cart, text),
    };
    cart.apply(&mut response);
    response
}

/// Puts a guest's cart into the account's. Returns what is to be tried again at the next log-in, and what is to be said.
async fn merge(
    state: &State,
    guest: &GuestCart,
    token: &SecretString,
) -> (GuestCart, Option<Notice>) {
    let mut rest = guest.clone();
    let (mut taken, mut left) = (0, 0);
    for line in guest.lines() {
        // Not added: a log-in that is sent twice, or again after its answer was lost, must not double the cart.
        let outcome = state.orders.at_least(token, &line.sku, line.quantity).await;
        match outcome
            .as_ref()
            .map_err(|error| refusal(error).map(|(_, code)| code))
        {
            Ok(_) => taken += 1,
            Err(Some("offer_removed" | "unknown_sku" | "cart_full" | "mixed_currencies")) => {
                left += 1
            }
            Err(_) => return (rest, Some(Notice::CartNotMerged)),
        }
        // Taking a line out always succeeds.
        let _ = rest.set(&line.sku, 0);
    }
    let notice = (taken + left > 0).then_some(Notice::CartMerged { taken, left });
    (rest, notice)
}

pub(super) async fn register_form(visitor: Visitor, Query(Next { next }): Query<Next>) -> Response {
    let next = own_path(&next).unwrap_or("/");
    if visitor.is_member() {
        return go_to(next);
    }
    page(&RegisterPage {
        v: &visitor,
        t: visitor.texts,
        title: visitor.texts.register,
        next,
        key: &Uuid::new_v4().to_string(),
        email: "",
        name: "",
        trouble: None,
        wrong: Vec::new(),
    })
}

pub(super) async fn register(
    Of(state): Of<State>,
    visitor: Visitor,
    Sent(sent): Sent<Registration>,
) -> Result<Response, Failure> {
    let next = own_path(&sent.next).unwrap_or("/");
    let key = sent.key.to_string();
    let password = sent.password.expose_secret();
    let (email, name) = (sent.email.as_str(), sent.name.as_str());
    let made = state
        .users
        .register(email, password, name, &key, visitor.client);
    if let Err(error) = made.await {
        return refused_registration(&visitor, &sent, next, &error);
    }
    let tokens = state.users.log_in(email, password, visitor.client).await;
    let tokens = tokens.map_err(|error| Failure::of(Service::Users, &error))?;
    Ok(begin(&state, &visitor, &tokens, next, Notice::Registered).await)
}

fn refused_registration(
    visitor: &Visitor,
    sent: &Registration,
    next: &str,
    error: &PeerError,
) -> Result<Response, Failure> {
    let t = visitor.texts;
    let (status, trouble) = match refusal(error) {
        Some((status, "email_taken")) => (status, t.email_taken),
        Some((status @ StatusCode::TOO_MANY_REQUESTS, _)) => (status, t.too_often),
        Some((status, "invalid" | "idempotency_key_reused")) => (status, t.look_again),
        Some(_) | None => return Err(Failure::of(Service::Users, error)),
    };
    let problem = match error {
        PeerError::Status { problem, .. } => problem.as_ref(),
        PeerError::Unreachable { .. } | PeerError::Malformed { .. } => None,
    };
    let wrong = problem.iter().flat_map(|problem| &problem.errors);
    let wrong = wrong.map(|wrong| Wrong {
        field: wrong.pointer.clone(),
        detail: wrong.detail.clone(),
    });
    let shown = page(&RegisterPage {
        v: visitor,
        t,
        title: t.register,
        next,
        // What was refused is sent anew.
        key: &Uuid::new_v4().to_string(),
        email: &sent.email,
        name: &sent.name,
        trouble: Some(trouble),
        wrong: wrong.collect(),
    });
    Ok((status, shown).into_response())
}

#[derive(Deserialize)]
pub(super) struct LogOut {
    /// On all devices.
    #[serde(default)]
    everywhere: bool,
}

/// Ends the session, here in any case: an access token that users could not be told of ends by itself. What was to end elsewhere and
/// did not is said, and nothing ends.
pub(super) async fn log_out(
    Of(state): Of<State>,
    headers: http::HeaderMap,
    Sent(LogOut { everywhere }): Sent<LogOut>,
) -> Result<Response, Failure> {
    if let Some(token) = cookies::read(&headers, Name::Refresh)
        && let Err(error) = state.users.log_out(&token.into(), everywhere).await
    {
        if everywhere {
            return Err(Failure::of(Service::Users, &error));
        }
        tracing::debug!(%error, "a session could not be ended at users");
    }
    let notice = match everywhere {
        true => Notice::LoggedOutEverywhere,
        false => Notice::LoggedOut,
    };
    let mut response = go_and_say("/", notice);
    for name in [Name::Access, Name::Refresh] {
        Change::remove(name).apply(&mut response);
    }
    // Whoever uses the machine next does not find the pages of before under "back".
    let cache = HeaderValue::from_static("\"cache\"");
    let name = HeaderName::from_static("clear-site-data");
    response.headers_mut().insert(name, cache);
    Ok(response)
}
