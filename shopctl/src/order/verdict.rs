//! Where an order stands, or where it died.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::{Entry, Story};

/// What the story of an order comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it needs nobody.
    pub good: bool,
    /// In one sentence.
    pub sentence: String,
    /// The service with which it waits, or at which it died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The trace of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// What the story comes to: the step that is tried again and again, or the one that failed for good.
pub fn verdict(story: &Story) -> Verdict {
    let last = |outcome: &str| story.entries.iter().rfind(|entry| entry.outcome == outcome);
    match story.state.as_str() {
        "pending" => pending(story),
        "cancelled" => match last("failed") {
            Some(entry) => of(
                entry,
                false,
                format!(
                    "cancelled, because {} failed at {}",
                    entry.step, entry.service
                ),
            ),
            None => plain(story, "cancelled"),
        },
        state => plain(story, state),
    }
}

/// What was done since has ended whatever was tried again before.
fn pending(story: &Story) -> Verdict {
    let open = story
        .entries
        .iter()
        .rposition(|entry| entry.outcome == "done")
        .map_or(0, |at| at + 1);
    let mut tried = story.entries[open..]
        .iter()
        .filter(|entry| entry.outcome == "retrying");
    let Some(first) = tried.next() else {
        let mut verdict = plain(story, "pending");
        verdict.sentence = match story.entries.last() {
            Some(entry) => format!(
                "pending; the last that happened is {} at {}",
                entry.step, entry.service
            ),
            None => "pending; nothing has happened yet".into(),
        };
        return verdict;
    };
    let last = tried.next_back().unwrap_or(first);
    let mut verdict = of(
        last,
        false,
        format!("pending: {} at {} does not get on", last.step, last.service),
    );
    verdict.since = Some(first.at);
    verdict
}

fn of(entry: &Entry, good: bool, sentence: String) -> Verdict {
    Verdict {
        good,
        sentence: format!("{sentence}: {}", entry.detail),
        service: Some(entry.service.clone()),
        since: Some(entry.at),
        attempts: entry.attempt,
        trace_id: entry.trace_id.clone(),
    }
}

fn plain(story: &Story, state: &str) -> Verdict {
    let last = story.entries.last();
    Verdict {
        good: true,
        sentence: state.into(),
        service: None,
        since: last.map(|entry| entry.at),
        attempts: None,
        trace_id: last.and_then(|entry| entry.trace_id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(state: &str, entries: &[(&str, &str, &str)]) -> Story {
        let entries: Vec<_> = entries.iter().enumerate().map(|(at, (service, step, outcome))| {
            serde_json::json!({"at": format!("2026-11-28T10:00:0{at}Z"), "service": service, "step": step, "outcome": outcome,
                "detail": "because", "attempt": at, "trace_id": format!("t{at}")})
        }).collect();
        let story = serde_json::json!({"order_id": uuid::Uuid::nil(), "number": "00000000", "state": state, "entries": entries});
        serde_json::from_value(story).expect("a story")
    }

    #[test]
    fn an_order_that_waits_names_the_step_that_is_tried_again_and_since_when() {
        let told = verdict(&story(
            "pending",
            &[
                ("payments", "authorise", "retrying"),
                ("payments", "authorise", "done"),
                ("payments", "capture", "retrying"),
                ("payments", "capture", "retrying"),
            ],
        ));
        assert!(!told.good);
        assert_eq!(
            told.sentence,
            "pending: capture at payments does not get on: because"
        );
        assert_eq!(
            told.since.map(|at| at.to_string()).as_deref(),
            Some("2026-11-28T10:00:02Z")
        );
        assert_eq!(
            (told.attempts, told.trace_id.as_deref()),
            (Some(3), Some("t3"))
        );
    }

    #[test]
    fn an_order_that_died_names_what_failed() {
        let told = verdict(&story(
            "cancelled",
            &[
                ("payments", "authorise", "failed"),
                ("orders", "release", "compensated"),
            ],
        ));
        assert_eq!(
            (told.good, told.service.as_deref()),
            (false, Some("payments"))
        );
        assert_eq!(
            told.sentence,
            "cancelled, because authorise failed at payments: because"
        );
    }

    #[test]
    fn an_order_that_is_paid_or_under_way_needs_nobody() {
        let paid = verdict(&story("paid", &[("payments", "capture", "done")]));
        assert_eq!(
            (paid.good, paid.sentence.as_str(), paid.service),
            (true, "paid", None)
        );
        let begun = verdict(&story("pending", &[("orders", "placed", "done")]));
        assert!(begun.good, "{begun:?}");
        let told = verdict(&story("pending", &[("orders", "placed", "info")])).sentence;
        assert_eq!(told, "pending; the last that happened is placed at orders");
        assert!(verdict(&story("pending", &[])).good);
    }
}
