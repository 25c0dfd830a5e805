//! That it is not known whether something was done: the same form again, which is safe to send.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::page;
use crate::texts::Texts;
use crate::visitor::Visitor;

/// A form whose answer was lost.
#[derive(Template)]
#[template(path = "unknown.html")]
pub(super) struct Unknown<'a> {
    pub(super) v: &'a Visitor,
    pub(super) t: &'static Texts,
    pub(super) title: &'static str,
    pub(super) detail: &'static str,
    /// Where the form goes.
    pub(super) action: &'a str,
    /// As they were sent, the key among them.
    pub(super) fields: &'a [(&'static str, String)],
    /// Where to look instead: a path and its name.
    pub(super) instead: (&'a str, &'static str),
}

impl Unknown<'_> {
    pub(super) fn page(&self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, page(self)).into_response()
    }
}
