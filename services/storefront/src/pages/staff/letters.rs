//! Dead letters: events that a service could not apply, to be looked at, applied after all, or discarded.

use askama::Template;
use axum::extract::State as Of;
use axum::response::Response;
use chassis::http::Path;
use serde::Deserialize;
use uuid::Uuid;

use super::Staff;
use super::operations::in_words;
use crate::failure::Failure;
use crate::form::Sent;
use crate::notice::Notice;
use crate::operations::{Letter, Letters, Refused};
use crate::pages::{State, go_and_say, page};
use crate::texts::Texts;
use crate::visitor::Visitor;

const LIST: &str = "/staff/letters";

#[derive(Template)]
#[template(path = "staff/letters.html")]
struct LettersPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    services: Result<Vec<(String, Letters)>, &'static str>,
}

#[derive(Template)]
#[template(path = "staff/letter.html")]
struct LetterPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    service: &'a str,
    letter: Letter,
}

pub(super) async fn list(
    Of(state): Of<State>,
    Staff(_): Staff,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let t = visitor.texts;
    let services = state.operations.letters().await;
    Ok(page(&LettersPage {
        v: &visitor,
        t,
        title: t.dead_letters,
        services: services.map_err(|lack| in_words(lack, t)),
    }))
}

type Address = Path<(String, Uuid)>;

pub(super) async fn show(
    Of(state): Of<State>,
    Staff(_): Staff,
    visitor: Visitor,
    Path((service, id)): Address,
) -> Result<Response, Failure> {
    let letter = match state.operations.letter(&service, id).await {
        Ok(letter) => letter,
        Err(Refused::Gone) => return Err(Failure::NotFound),
        Err(Refused::Away | Refused::StillBroken) => {
            return Ok(go_and_say(LIST, Notice::NotReached));
        }
    };
    Ok(page(&LetterPage {
        v: &visitor,
        t: visitor.texts,
        title: visitor.texts.dead_letters,
        service: &service,
        letter,
    }))
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn retry(
    Of(state): Of<State>,
    Staff(_): Staff,
    Path((service, id)): Address,
    Sent(Nothing {}): Sent<Nothing>,
) -> Response {
    match state.operations.retry(&service, id).await {
        Ok(()) => go_and_say(LIST, Notice::Applied),
        Err(Refused::StillBroken) => {
            go_and_say(&format!("{LIST}/{service}/{id}"), Notice::StillBroken)
        }
        Err(Refused::Gone) => go_and_say(LIST, Notice::LetterGone),
        Err(Refused::Away) => go_and_say(LIST, Notice::NotReached),
    }
}

pub(super) async fn discard(
    Of(state): Of<State>,
    Staff(_): Staff,
    Path((service, id)): Address,
    Sent(Nothing {}): Sent<Nothing>,
) -> Response {
    let notice = match state.operations.discard(&service, id).await {
        Ok(()) => Notice::Discarded,
        Err(Refused::Gone | Refused::StillBroken) => Notice::LetterGone,
        Err(Refused::Away) => Notice::NotReached,
    };
    go_and_say(LIST, notice)
}
