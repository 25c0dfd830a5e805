//! Many products at once, with a report.

use askama::Template;
use axum::extract::State as Of;
use axum::response::Response;
use serde::Deserialize;

use super::Staff;
use crate::failure::Failure;
use crate::form::Sent;
use crate::pages::{State, page};
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::search::Report;
use crate::visitor::Visitor;

/// Of what is typed in, in bytes. Larger files go to search itself.
pub(super) const LIMIT: usize = 1024 * 1024;

#[derive(Template)]
#[template(path = "staff/import.html")]
struct ImportPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    lines: &'a str,
    report: Option<Report>,
}

pub(super) async fn form(_: Staff, visitor: Visitor) -> Response {
    import_page(&visitor, "", None)
}

fn import_page(visitor: &Visitor, lines: &str, report: Option<Report>) -> Response {
    page(&ImportPage {
        v: visitor,
        t: visitor.texts,
        title: visitor.texts.import,
        lines,
        report,
    })
}

#[derive(Deserialize)]
pub(super) struct Lines {
    lines: String,
}

pub(super) async fn import(
    Of(state): Of<State>,
    Staff(member): Staff,
    visitor: Visitor,
    Sent(Lines { lines }): Sent<Lines>,
) -> Result<Response, Failure> {
    // A form ends its lines with two characters.
    let lines = lines.replace("\r\n", "\n");
    let report = state.search.import(&member.token, lines.clone()).await;
    let report = report.map_err(|error| Failure::of(Service::Search, &error))?;
    // What was done is not to be sent again, what failed is.
    let wrong: Vec<_> = report.failed.iter().map(|failed| failed.line).collect();
    let left = (1..)
        .zip(lines.lines())
        .filter(|(number, _)| wrong.contains(number));
    let left: Vec<_> = left.map(|(_, line)| line).collect();
    Ok(import_page(&visitor, &left.join("\n"), Some(report)))
}
