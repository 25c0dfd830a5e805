//! Many products at once, with a report.

use askama::Template;
use axum::extract::State as Of;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::Staff;
use crate::failure::Failure;
use crate::form::Sent;
use crate::pages::{State, page};
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::search::{FailedLine, Report, Search};
use crate::visitor::Visitor;

/// Of what is typed in, in bytes. Larger files go to search itself.
const LIMIT: usize = 1024 * 1024;
/// Of the form that brings it: most characters of JSON come as three, an end of a line as six.
pub(super) const FORM_LIMIT: usize = 4 * LIMIT;
/// What search is given in one request, so that it answers in time and its report is none that is too large to read.
const PART_LINES: usize = 500;
const PART_BYTES: usize = 256 * 1024;
/// Lines whose reason is told; of more it is said how many.
const TOLD: usize = 100;

#[derive(Template)]
#[template(path = "staff/import.html")]
struct ImportPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    /// What is wrong with the whole of it.
    trouble: Option<&'static str>,
    lines: &'a str,
    outcome: Option<&'a Outcome<'a>>,
}

pub(super) async fn form(_: Staff, visitor: Visitor) -> Response {
    import_page(&visitor, None, "", None)
}

fn import_page(
    visitor: &Visitor,
    trouble: Option<&'static str>,
    lines: &str,
    outcome: Option<&Outcome<'_>>,
) -> Response {
    page(&ImportPage {
        v: visitor,
        t: visitor.texts,
        title: visitor.texts.import,
        trouble,
        lines,
        outcome,
    })
}

/// What came of all parts, as far as they came.
#[derive(Default)]
struct Outcome<'a> {
    created: u64,
    updated: u64,
    unchanged: u64,
    failed: usize,
    /// The first of those that failed, by their number among all.
    told: Vec<FailedLine>,
    /// What failed, and what was not sent or not answered: to be sent again.
    left: Vec<&'a str>,
    /// Why it went no further.
    broken_off: Option<Failure>,
}

impl<'a> Outcome<'a> {
    /// Notes what came of `part`, before which there were so many lines.
    fn add(&mut self, before: usize, part: &[&'a str], report: Report) {
        self.created += report.created;
        self.updated += report.updated;
        self.unchanged += report.unchanged;
        self.failed += report.failed.len();
        for FailedLine { line, detail } in report.failed {
            // Counted from 1.
            let at = usize::try_from(line).unwrap_or(0).checked_sub(1);
            self.left.extend(at.and_then(|at| part.get(at)));
            if self.told.len() < TOLD {
                let line = line.saturating_add(before as u64);
                self.told.push(FailedLine { line, detail });
            }
        }
    }

    /// How many failed whose reason is not told; `None` where all are.
    fn untold(&self) -> Option<usize> {
        let more = self.failed.saturating_sub(self.told.len());
        (more > 0).then_some(more)
    }
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
) -> Response {
    // A form ends its lines with two characters.
    let lines = lines.replace("\r\n", "\n");
    let t = visitor.texts;
    if lines.len() > LIMIT {
        let shown = import_page(&visitor, Some(t.import_too_large), &lines, None);
        return (StatusCode::PAYLOAD_TOO_LARGE, shown).into_response();
    }
    let outcome = in_parts(&state.search, &member.token, &lines).await;
    let trouble = outcome.broken_off.map(|_| t.import_broken_off);
    // What was done is not to be sent again, what failed is.
    let left = outcome.left.join("\n");
    let shown = import_page(&visitor, trouble, &left, Some(&outcome));
    match outcome.broken_off {
        Some(failure) => (failure.status(), shown).into_response(),
        None => shown,
    }
}

/// Gives search one part after the other, until one is not answered as it should be: what came of those before it is known and told.
async fn in_parts<'a>(search: &Search, token: &SecretString, text: &'a str) -> Outcome<'a> {
    let lines: Vec<&str> = text.lines().collect();
    let mut outcome = Outcome::default();
    let mut done = 0;
    while done < lines.len() {
        let rest = &lines[done..];
        let part = &rest[..fitting(rest)];
        match search.import(token, part.join("\n")).await {
            Ok(report) => outcome.add(done, part, report),
            Err(error) => {
                outcome.broken_off = Some(Failure::of(Service::Search, &error));
                outcome.left.extend(rest);
                break;
            }
        }
        done += part.len();
    }
    outcome
}

/// How many of these lines make a part: as many as fit, and one at least, however long it is.
fn fitting(lines: &[&str]) -> usize {
    let mut bytes = 0;
    let fits = |line: &&&str| {
        bytes += line.len() + 1;
        bytes <= PART_BYTES
    };
    let fit = lines.iter().take(PART_LINES).take_while(fits).count();
    fit.max(1).min(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_bounded_by_its_lines_and_by_its_bytes_and_never_nothing() {
        assert_eq!(fitting(&["x"; 3]), 3);
        assert_eq!(fitting(&["x"; PART_LINES + 1]), PART_LINES);
        let long = "x".repeat(PART_BYTES / 2 - 1);
        assert_eq!(fitting(&[&long, &long, "x"]), 2);
        let longer = "x".repeat(PART_BYTES);
        assert_eq!(fitting(&[&longer, "x"]), 1);
        assert_eq!(fitting(&[]), 0);
    }

    #[test]
    fn a_line_that_failed_is_told_by_its_number_among_all_and_left_to_be_sent_again() {
        let mut outcome = Outcome::default();
        let failed = [0, 2, u64::MAX].map(|line| FailedLine {
            line,
            detail: "no".to_owned(),
        });
        let report = Report {
            created: 1,
            updated: 0,
            unchanged: 0,
            failed: failed.into(),
        };
        outcome.add(500, &["a", "b"], report);
        let told: Vec<_> = outcome.told.iter().map(|failed| failed.line).collect();
        assert_eq!(told, [500, 502, u64::MAX]);
        assert_eq!(outcome.left, ["b"]);
        assert_eq!((outcome.failed, outcome.untold()), (3, None));
    }
}
