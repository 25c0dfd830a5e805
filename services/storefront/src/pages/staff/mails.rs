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
use crate::upstream::email::{Mail, MailList, MailStatus};
use crate::upstream::{Service, refusal};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "staff/mails.html")]
struct MailsPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    /// Nothing where mails of all states are shown.
    chosen: &'a str,
    statuses: [MailStatus; 5],
    mails: MailList,
}

impl Mail {
    fn can_be_sent_again(&self) -> bool {
        matches!(self.status, MailStatus::Failed | MailStatus::Kept)
    }
}

impl MailStatus {
    /// In words; one that is not known is shown as it came.
    fn shown<'a>(&'a self, t: &'a Texts) -> &'a str {
        match self {
            Self::Queued => t.mail_queued,
            Self::Sending => t.mail_sending,
            Self::Sent => t.mail_sent,
            Self::Kept => t.mail_kept,
            Self::Failed => t.mail_failed,
            Self::Other(text) => text,
        }
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
    let known = MailStatus::ALL;
    let known = known.iter().find(|status| status.as_str() == wish.status);
    let mails = state.email.of_all(&member.token, known, wish.cursor).await;
    Ok(page(&MailsPage {
        v: &visitor,
        t: visitor.texts,
        title: visitor.texts.mails,
        chosen: known.map(MailStatus::as_str).unwrap_or_default(),
        statuses: MailStatus::ALL,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::{ENGLISH, GERMAN};

    #[test]
    fn each_state_has_words_of_its_own_and_an_unknown_one_is_shown_as_it_came() {
        let shown = |text: &str, t| MailStatus::from(text.to_owned()).shown(t).to_owned();
        for status in MailStatus::ALL {
            let text = status.as_str();
            assert_eq!(MailStatus::from(text.to_owned()), status);
            assert_ne!(shown(text, &GERMAN), shown(text, &ENGLISH));
            assert_ne!(shown(text, &GERMAN), text);
        }
        assert_eq!(shown("bounced", &GERMAN), "bounced");
    }
}
