//! Mails of all, and sending one again.

use askama::Template;
use axum::extract::{Query, State as Of};
use axum::response::Response;
use chassis::http::Path;
use serde::Deserialize;
use uuid::Uuid;

use super::Staff;
use crate::failure::Failure;
use crate::form::Sent;
use crate::notice::Notice;
use crate::pages::{State, go_and_say, page};
use crate::texts::Texts;
use crate::upstream::email::{Mail, MailList};
use crate::upstream::{Service, refusal};
use crate::visitor::Visitor;

const STATUSES: [&str; 5] = ["queued", "sending", "sent", "kept", "failed"];

#[derive(Template)]
#[template(path = "staff/mails.html")]
struct MailsPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    chosen: &'static str,
    statuses: [&'static str; 5],
    mails: MailList,
}

impl Mail {
    fn can_be_sent_again(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "kept")
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    status: String,
    cursor: Option<Uuid>,
}

pub(super) async fn list(
    Of(state): Of<State>,
    Staff(member): Staff,
    visitor: Visitor,
    Query(wish): Query<Wish>,
) -> Result<Response, Failure> {
    let known = STATUSES.into_iter().find(|status| *status == wish.status);
    let mails = state.email.of_all(&member.token, known, wish.cursor).await;
    Ok(page(&MailsPage {
        v: &visitor,
        t: visitor.texts,
        title: visitor.texts.mails,
        chosen: known.unwrap_or_default(),
        statuses: STATUSES,
        mails: mails.map_err(|error| Failure::of(Service::Email, &error))?,
    }))
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn retry(
    Of(state): Of<State>,
    Staff(member): Staff,
    Path(id): Path<Uuid>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Response, Failure> {
    let notice = match state.email.retry(&member.token, id).await {
        Ok(()) => Notice::SentAgain,
        Err(error) if refusal(&error).is_some_and(|(_, code)| code == "not_failed") => {
            Notice::NotSentAgain
        }
        Err(error) => return Err(Failure::of(Service::Email, &error)),
    };
    Ok(go_and_say("/staff/mails", notice))
}
