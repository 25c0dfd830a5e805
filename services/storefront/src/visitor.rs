//! Who looks at a page: the language, the session, the cart of a guest, all from cookies.

use axum::extract::{FromRequestParts, Request, State as Of};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use chassis::auth::Principal;
use chassis::http::{ClientIp, Problem};
use secrecy::{ExposeSecret, SecretString};
use time::Duration;

use crate::cookies::{self, Change, Name};
use crate::failure::{Failure, as_page};
use crate::form;
use crate::guest_cart::GuestCart;
use crate::notice::Notice;
use crate::pages::{State, go_to};
use crate::texts::Texts;
use crate::upstream::users::Tokens;
use crate::upstream::{Service, refusal};

/// An access token is exchanged this long before it ends, so that it does not end on its way.
const EARLY: Duration = Duration::seconds(30);

/// Who looks at a page.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(crate) texts: &'static Texts,
    pub(crate) who: Who,
    pub(crate) guest_cart: GuestCart,
    /// What each form of theirs shows.
    pub(crate) csrf: String,
    /// What this page is to say.
    pub(crate) notice: Option<Notice>,
    pub(crate) client: ClientIp,
    /// Path and query of what is looked at.
    pub(crate) at: String,
}

#[derive(Clone)]
pub(crate) enum Who {
    Guest,
    /// Somebody with a session that cannot be told good or bad, because users is away.
    Unknown,
    Member(Member),
}

/// Somebody who is logged in.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) token: SecretString,
    /// Has the role `admin`.
    pub(crate) is_staff: bool,
}

impl Member {
    fn new(token: SecretString, principal: &Principal) -> Self {
        let is_staff = principal.has_role("admin");
        Self { token, is_staff }
    }
}

impl Visitor {
    pub(crate) fn member(&self) -> Option<&Member> {
        match &self.who {
            Who::Member(member) => Some(member),
            Who::Guest | Who::Unknown => None,
        }
    }

    /// For templates.
    pub(crate) fn is_guest(&self) -> bool {
        matches!(self.who, Who::Guest)
    }

    pub(crate) fn is_staff(&self) -> bool {
        self.member().is_some_and(|member| member.is_staff)
    }

    pub(crate) fn is_member(&self) -> bool {
        self.member().is_some()
    }

    pub(crate) fn notice_text(&self) -> Option<String> {
        self.notice.map(|notice| notice.shown(self.texts))
    }

    /// # Errors
    /// Where users is away; a guest is `None`.
    pub(crate) fn known(&self) -> Result<Option<&Member>, Failure> {
        match &self.who {
            Who::Guest => Ok(None),
            Who::Unknown => Err(Failure::Away(Service::Users)),
            Who::Member(member) => Ok(Some(member)),
        }
    }
}

/// Recognises the visitor before a page is made, and tells the browser what to keep after it.
pub(crate) async fn accompany(
    Of(state): Of<State>,
    client: ClientIp,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let (visitor, changes) = recognise(&state, client, &parts).await;
    let is_shown = parts.method == Method::GET;
    let is_browser = reads_pages(&parts.headers);
    if is_shown && is_browser && changes.iter().any(Change::begins_a_session) {
        return first_keep(&changes, &visitor);
    }
    parts.extensions.insert(visitor.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if is_browser {
        response = as_page(response, &visitor);
    }
    for change in changes {
        change.apply_under(&mut response);
    }
    if visitor.is_member() {
        // Not to be found under "back" by whoever uses the machine next.
        let never = HeaderValue::from_static("private, no-store");
        response
            .headers_mut()
            .entry(header::CACHE_CONTROL)
            .or_insert(never);
    }
    if is_shown && visitor.notice.is_some() && response.status() == StatusCode::OK {
        Change::remove(Name::Notice).apply_under(&mut response);
    }
    response
}

async fn recognise(state: &State, client: ClientIp, parts: &Parts) -> (Visitor, Vec<Change>) {
    let headers = &parts.headers;
    let mut changes = Vec::new();
    let who = session(state, headers, &mut changes).await;
    let csrf = cookies::read(headers, Name::Csrf).unwrap_or_else(|| {
        let token = form::new_token();
        changes.push(Change::set(Name::Csrf, token.clone()));
        token
    });
    let cart = cookies::read(headers, Name::Cart).unwrap_or_default();
    let notice = cookies::read(headers, Name::Notice);
    // What was sent cannot be gone back to.
    let at = parts
        .uri
        .path_and_query()
        .filter(|_| parts.method == Method::GET);
    let visitor = Visitor {
        texts: language(headers),
        who,
        guest_cart: GuestCart::parse(&cart),
        csrf,
        notice: notice.and_then(|text| Notice::parse(&text)),
        client,
        at: at.map_or_else(|| "/".to_owned(), ToString::to_string),
    };
    (visitor, changes)
}

/// Has the browser keep the new tokens before a page is made, which may take long: one that does not wait for it would come back with the
/// used token, and too late for users to take it.
fn first_keep(changes: &[Change], visitor: &Visitor) -> Response {
    let mut response = go_to(&visitor.at);
    for change in changes {
        change.apply(&mut response);
    }
    response
}

/// Browsers say so; to other programs a failure is a problem document.
pub(crate) fn reads_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

pub(crate) fn language(headers: &HeaderMap) -> &'static Texts {
    let chosen = cookies::read(headers, Name::Language);
    chosen.and_then(|code| Texts::of(&code)).unwrap_or_else(|| {
        let asked = headers.get(header::ACCEPT_LANGUAGE);
        Texts::accepted(asked.and_then(|v| v.to_str().ok()).unwrap_or_default())
    })
}

/// Who holds the session of these cookies. An access token that has ended is exchanged.
async fn session(state: &State, headers: &HeaderMap, changes: &mut Vec<Change>) -> Who {
    if let Some(token) = cookies::read(headers, Name::Access) {
        let token = SecretString::from(token);
        match state.verifier.verify(token.expose_secret()).await {
            Ok(principal) => return Who::Member(Member::new(token, &principal)),
            Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
                changes.push(Change::remove(Name::Access));
            }
            Err(_) => return Who::Unknown,
        }
    }
    let Some(token) = cookies::read(headers, Name::Refresh) else {
        return Who::Guest;
    };
    match state.users.refresh(&token.into()).await {
        Ok(tokens) => {
            changes.clear();
            changes.extend(keep(&tokens));
            match state
                .verifier
                .verify(tokens.access_token.expose_secret())
                .await
            {
                Ok(principal) => Who::Member(Member::new(tokens.access_token, &principal)),
                Err(_) => Who::Unknown,
            }
        }
        Err(error)
            if refusal(&error).is_some_and(|(status, _)| status == StatusCode::UNAUTHORIZED) =>
        {
            changes.push(Change::remove(Name::Refresh));
            Who::Guest
        }
        Err(error) => {
            tracing::debug!(%error, "a session cannot be renewed now");
            Who::Unknown
        }
    }
}

/// What the browser keeps of a session.
pub(crate) fn keep(tokens: &Tokens) -> [Change; 2] {
    let life = Duration::seconds(tokens.expires_in) - EARLY;
    [
        Change::access(tokens.access_token.expose_secret(), life),
        Change::set(Name::Refresh, tokens.refresh_token.expose_secret()),
    ]
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Problem::internal("a page is made for nobody"))
    }
}
