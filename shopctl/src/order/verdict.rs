//! Where an order stands, or where it died.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Entry, ORDERS, Story};

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

/// An order that is not at its end, and of which nothing has been heard for so long, does not get on.
const SILENCE: SignedDuration = SignedDuration::from_mins(2);

/// What the story comes to at `now`: the step that is tried again and again, what an order was cancelled for, or that nothing happens.
pub fn verdict(story: &Story, now: Timestamp) -> Verdict {
    let state = story.state.as_str();
    if let Some((first, last)) = tried_again(&story.entries) {
        let sentence = format!("{state}: {} at {} does not get on", last.step, last.service);
        let mut verdict = died(last, sentence);
        verdict.since = Some(first.at);
        return verdict;
    }
    match state {
        "pending" | "confirmed" => under_way(story, now),
        "cancelled" => match cause_of_cancellation(&story.entries) {
            Some(entry) => {
                let (step, service) = (&entry.step, &entry.service);
                died(
                    entry,
                    format!("cancelled, because {step} failed at {service}"),
                )
            }
            None => plain(story, state.into()),
        },
        state => plain(story, state.into()),
    }
}

/// The first and the last try of a step that has not come to its end.
fn tried_again(entries: &[Entry]) -> Option<(&Entry, &Entry)> {
    let is_same = |a: &Entry, b: &Entry| a.service == b.service && a.step == b.step;
    let is_try = |entry: &Entry| entry.outcome == "retrying";
    entries.iter().enumerate().rev().find_map(|(at, last)| {
        let has_ended = entries[at + 1..].iter().any(|later| is_same(later, last));
        if !is_try(last) || has_ended {
            return None;
        }
        let tries = entries[..at]
            .iter()
            .rev()
            .filter(|before| is_same(before, last));
        let first = tries.take_while(|before| is_try(before)).last();
        Some((first.unwrap_or(last), last))
    })
}

/// What failed before orders cancelled it. What fails afterwards, such as a mail about it, is not its cause.
fn cause_of_cancellation(entries: &[Entry]) -> Option<&Entry> {
    let cancel = entries
        .iter()
        .position(|entry| entry.service == ORDERS && entry.step == "cancel")?;
    entries[..cancel]
        .iter()
        .rfind(|entry| entry.outcome == "failed")
}

/// Nobody tries anything again: either it is just going on, or nobody does anything.
fn under_way(story: &Story, now: Timestamp) -> Verdict {
    let state = &story.state;
    let Some(last) = story.entries.last() else {
        return plain(story, format!("{state}; nothing has happened yet"));
    };
    let what = format!(
        "the last that happened is {} at {}",
        last.step, last.service
    );
    if now.duration_since(last.at) < SILENCE {
        return plain(story, format!("{state}; {what}"));
    }
    let mut verdict = plain(story, format!("{state}, and nothing goes on: {what}"));
    verdict.good = false;
    verdict.service = Some(ORDERS.into());
    verdict
}

/// This is what keeps it.
fn died(entry: &Entry, sentence: String) -> Verdict {
    Verdict {
        good: false,
        sentence: format!("{sentence}: {}", entry.detail),
        service: Some(entry.service.clone()),
        since: Some(entry.at),
        attempts: entry.attempt,
        trace_id: entry.trace_id.clone(),
    }
}

fn plain(story: &Story, sentence: String) -> Verdict {
    let last = story.entries.last();
    Verdict {
        good: true,
        sentence,
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

    fn told(state: &str, entries: &[(&str, &str, &str)]) -> Verdict {
        let now = "2026-11-28T10:00:30Z".parse().expect("a time");
        verdict(&story(state, entries), now)
    }

    const RESERVED: (&str, &str, &str) = ("orders", "reserve", "done");
    const CANCELLED: (&str, &str, &str) = ("orders", "cancel", "compensated");

    #[test]
    fn an_order_that_waits_names_the_step_that_is_tried_again_and_since_when() {
        let told = told(
            "confirmed",
            &[
                ("payments", "authorise", "retrying"),
                ("payments", "authorise", "done"),
                ("payments", "capture", "retrying"),
                ("email", "email.sent", "done"),
                ("payments", "capture", "retrying"),
            ],
        );
        assert!(!told.good);
        let sentence = "confirmed: capture at payments does not get on: because";
        assert_eq!(told.sentence, sentence);
        let since = told.since.map(|at| at.to_string());
        assert_eq!(since.as_deref(), Some("2026-11-28T10:00:02Z"));
        assert_eq!(
            (told.attempts, told.trace_id.as_deref()),
            (Some(4), Some("t4"))
        );
    }

    #[test]
    fn money_that_is_still_held_for_a_cancelled_order_is_told_first() {
        let told = told(
            "cancelled",
            &[
                ("payments", "authorise", "failed"),
                CANCELLED,
                ("payments", "void", "retrying"),
            ],
        );
        assert_eq!(
            told.sentence,
            "cancelled: void at payments does not get on: because"
        );
    }

    #[test]
    fn an_order_that_died_names_what_failed_before_and_not_the_mail_about_it() {
        let told = told(
            "cancelled",
            &[
                RESERVED,
                ("payments", "authorise", "failed"),
                CANCELLED,
                ("email", "email.bounced", "failed"),
            ],
        );
        assert_eq!(
            (told.good, told.service.as_deref()),
            (false, Some("payments"))
        );
        let sentence = "cancelled, because authorise failed at payments: because";
        assert_eq!(told.sentence, sentence);
    }

    #[test]
    fn an_order_that_is_paid_or_just_under_way_needs_nobody() {
        let paid = told(
            "paid",
            &[
                ("payments", "capture", "retrying"),
                ("payments", "capture", "done"),
            ],
        );
        assert_eq!(
            (paid.good, paid.sentence.as_str(), paid.service),
            (true, "paid", None)
        );
        let begun = told("pending", &[RESERVED]);
        let sentence = "pending; the last that happened is reserve at orders";
        assert_eq!((begun.good, begun.sentence.as_str()), (true, sentence));
        assert!(told("pending", &[]).good);
    }

    #[test]
    fn an_order_of_which_nothing_is_heard_any_more_does_not_get_on() {
        let later = "2026-11-28T10:02:00Z".parse().expect("a time");
        let told = verdict(&story("pending", &[RESERVED]), later);
        assert_eq!(
            (told.good, told.service.as_deref()),
            (false, Some("orders"))
        );
    }
}
