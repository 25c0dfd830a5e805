//! The choice of a language.

use axum::response::Response;
use serde::Deserialize;

use super::go_to;
use crate::cookies::{Change, Name};
use crate::form::{Sent, own_path};
use crate::texts::Texts;

#[derive(Deserialize)]
pub(super) struct Choice {
    language: String,
    back: String,
}

pub(super) async fn choose(Sent(choice): Sent<Choice>) -> Response {
    let mut response = go_to(own_path(&choice.back).unwrap_or("/"));
    if let Some(texts) = Texts::of(&choice.language) {
        Change::set(Name::Language, texts.code).apply(&mut response);
    }
    response
}
