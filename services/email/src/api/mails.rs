//! `/mails`: list, read, preview, send again.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use chassis::auth::{Principal, Role, WithRole};
use chassis::http::responses::{Common, Unauthenticated};
use chassis::http::{Path, Problem, Query};
use garde::Validate;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Admin;
use crate::mail::{MailKind, MailStatus};
use crate::state::State;
use crate::store::mails::{self, Filter, Summary, Whole};

/// Which mails to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only mails about this order.
    #[garde(skip)]
    order_id: Option<Uuid>,
    /// Only mails to this user.
    #[garde(skip)]
    user_id: Option<Uuid>,
    /// Only mails of this kind.
    #[garde(skip)]
    kind: Option<MailKind>,
    /// Only mails that are this far.
    #[garde(skip)]
    status: Option<MailStatus>,
    /// Mails in one answer.
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default = "default_limit")]
    limit: u8,
    /// `next_cursor` of the answer before.
    #[garde(skip)]
    cursor: Option<Uuid>,
}

fn default_limit() -> u8 {
    20
}

/// Mails, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailList {
    items: Vec<Mail>,
    /// Give it as `cursor` to read on; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<Uuid>,
}

/// A mail without its content.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mail {
    id: Uuid,
    kind: MailKind,
    /// The recipient's address.
    to: String,
    subject: String,
    status: MailStatus,
    user_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When the mail server took it.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    sent_at: Option<OffsetDateTime>,
}

/// A mail with its content.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailWithContent {
    #[serde(flatten)]
    mail: Mail,
    text: String,
    html: String,
    /// How often a sender has had it in hand.
    attempts: i32,
    /// Why the latest attempt did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

impl From<Summary> for Mail {
    fn from(mail: Summary) -> Self {
        Self {
            id: mail.id,
            kind: mail.kind,
            to: mail.to_address,
            subject: mail.subject,
            status: mail.status,
            user_id: mail.user_id,
            order_id: mail.order_id,
            created_at: mail.created_at,
            sent_at: mail.sent_at,
        }
    }
}

/// Mails, newest first
///
/// An administrator sees those of all, anybody else his own.
#[utoipa::path(get, path = "/mails", tag = "mails", operation_id = "list_mails", params(ListQuery), security(("bearer" = [])), responses(
    (status = 200, description = "A page of mails", body = MailList),
    Unauthenticated,
    (status = 403, description = "`forbidden`: mails of another user are for administrators", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "`invalid` with the parameters", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(crate) async fn list(
    Shared(state): Shared<State>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<MailList>, Problem> {
    let filter = Filter {
        order_id: query.order_id,
        user_id: whose(&principal, query.user_id)?,
        kind: query.kind,
        status: query.status,
        before: query.cursor,
    };
    let limit = usize::from(query.limit);
    // One more than asked for tells whether there is a next page.
    let mut found =
        mails::list(&state.db.get().await?, &filter, i64::from(query.limit) + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|mail| mail.id);
    let items = found.into_iter().map(Mail::from).collect();
    Ok(Json(MailList { items, next_cursor }))
}

/// One mail with its content
#[utoipa::path(get, path = "/mails/{id}", tag = "mails", operation_id = "read_mail", params(("id" = Uuid, Path)), security(("bearer" = [])), responses(
    (status = 200, description = "The mail", body = MailWithContent),
    Unauthenticated,
    (status = 404, description = "`not_found`: there is no such mail to whoever asks", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(crate) async fn read(
    Shared(state): Shared<State>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<Json<MailWithContent>, Problem> {
    let mail = find_for(&principal, &state, id).await?;
    Ok(Json(MailWithContent {
        mail: mail.summary.into(),
        text: mail.text,
        html: mail.html,
        attempts: mail.attempts,
        last_error: mail.last_error.filter(|_| principal.has_role(Admin::NAME)),
    }))
}

/// One mail as its reader sees it
#[utoipa::path(get, path = "/mails/{id}/preview", tag = "mails", operation_id = "preview_mail", params(("id" = Uuid, Path)), security(("bearer" = [])), responses(
    (status = 200, description = "The page", body = String, content_type = "text/html"),
    Unauthenticated,
    (status = 404, description = "`not_found`: there is no such mail to whoever asks", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(crate) async fn preview(
    Shared(state): Shared<State>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<Response, Problem> {
    let mail = find_for(&principal, &state, id).await?;
    Ok((PREVIEW_HEADERS, mail.html).into_response())
}

/// Sends a mail again
///
/// For one that has failed, or that was kept while no mail server was configured. It is sent with the Message-ID that it
/// had, and may fail again.
#[utoipa::path(post, path = "/mails/{id}/retry", tag = "mails", operation_id = "retry_mail", params(("id" = Uuid, Path)), security(("bearer" = [])), responses(
    (status = 200, description = "Queued again", body = Mail),
    Unauthenticated,
    (status = 403, description = "`forbidden`: needs the role admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "`not_failed`: it waits to go out, or was sent", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(crate) async fn retry(
    Shared(state): Shared<State>,
    _: WithRole<Admin>,
    Path(id): Path<Uuid>,
) -> Result<Json<Mail>, Problem> {
    if let Some(queued) = mails::retry(&state.db.get().await?, id).await? {
        tracing::info!(mail_id = %id, kind = %queued.kind, "mail queued again");
        return Ok(Json(queued.into()));
    }
    let status = find(&state, id).await?.summary.status;
    Err(Problem::conflict(
        "not_failed",
        format!("The mail {id} is {status}; only one that has failed or was kept is sent again."),
    ))
}

/// The page is ours and escaped; should something slip through, it still cannot run, fetch or be framed.
const PREVIEW_HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

async fn find(state: &State, id: Uuid) -> Result<Whole, Problem> {
    mails::find(&state.db.get().await?, id)
        .await?
        .ok_or_else(|| no_mail(id))
}

/// Of which user mails are listed: for an administrator those that were asked for, for anybody else the own ones.
fn whose(principal: &Principal, asked: Option<Uuid>) -> Result<Option<Uuid>, Problem> {
    match asked {
        asked if principal.has_role(Admin::NAME) => Ok(asked),
        Some(other) if other != principal.id => Err(Problem::forbidden(
            "Mails of another user are for administrators.",
        )),
        Some(_) | None => Ok(Some(principal.id)),
    }
}

/// A mail that whoever asks may read; one of somebody else is none to him.
async fn find_for(principal: &Principal, state: &State, id: Uuid) -> Result<Whole, Problem> {
    let mail = find(state, id).await?;
    if mail.summary.user_id == principal.id || principal.has_role(Admin::NAME) {
        Ok(mail)
    } else {
        Err(no_mail(id))
    }
}

fn no_mail(id: Uuid) -> Problem {
    Problem::not_found(format!("There is no mail {id}."))
}
