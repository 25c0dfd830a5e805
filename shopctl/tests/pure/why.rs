use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use serde_json::{Value, json};
use shop_operator::api::Phase;
use shopctl::why::{Answer, findings, text, warnings};

use crate::{plain, shop};

fn event(minute: u32, related: &str, kind: &str, reason: &str, note: &str) -> Event {
    let event: Value = json!({
        "metadata": {"name": format!("corner.{minute}")},
        "involvedObject": {"kind": "Shop", "name": "corner", "uid": "uid-of-corner"},
        "related": {"kind": "Deployment", "name": related},
        "type": kind, "reason": reason, "message": note,
        "eventTime": format!("2026-11-26T22:{minute:02}:00.000000Z"),
    });
    serde_json::from_value(event).expect("an event")
}

fn events() -> Vec<Event> {
    let note = "pod corner-payments-6d8c7b5f4-x7k2p cannot get its image";
    vec![
        event(1, "corner-payments", "Warning", "Failed", note),
        event(
            3,
            "corner-users",
            "Warning",
            "ForeignField",
            "set by somebody else",
        ),
        event(2, "corner-search", "Normal", "Running", "search runs"),
    ]
}

fn told(file: &str, service: Option<&str>) -> String {
    let shop = shop(file);
    let now: Timestamp = "2026-11-26T22:10:00Z".parse().expect("a time");
    let answer = Answer {
        findings: findings(&shop, service),
        warnings: warnings(&events(), &shop, service),
    };
    plain(&text(&answer, &shop, service, now))
}

#[test]
fn nothing_is_wrong() {
    insta::assert_snapshot!(told("healthy", None));
}

#[test]
fn what_needs_help_comes_before_what_needs_time() {
    insta::assert_snapshot!(told("failed", None));
}

#[test]
fn what_needs_time() {
    insta::assert_snapshot!(told("migrating", None));
}

#[test]
fn one_service() {
    insta::assert_snapshot!(told("failed", Some("payments")));
}

#[test]
fn a_service_that_waits_for_its_database_is_told_of_the_database() {
    insta::assert_snapshot!(told("failed", Some("orders")));
}

#[test]
fn nothing_is_wrong_with_one_service() {
    insta::assert_snapshot!(told("failed", Some("email")));
}

#[test]
fn a_newer_generation_is_told_first() {
    insta::assert_snapshot!(told("leaving", None));
}

#[test]
fn a_sentence_of_the_shop_alone_is_told_too() {
    let mut shop = shop("healthy");
    let status = shop.status.as_mut().expect("a status");
    let ready = &mut status.conditions[0];
    (ready.status, ready.reason) = ("False".into(), "Invalid".into());
    ready.message = "spec.images.registry: needed for email".into();
    let answer = Answer {
        findings: findings(&shop, None),
        warnings: Vec::new(),
    };
    insta::assert_snapshot!(plain(&text(&answer, &shop, None, Timestamp::UNIX_EPOCH)));
    assert_eq!(
        findings(&shop, Some("email")),
        answer.findings,
        "it holds up each service"
    );
}

#[test]
fn what_has_no_effect_or_protects_less_is_worth_a_word_and_nothing_is_wrong() {
    let mut shop = shop("healthy");
    let status = shop.status.as_mut().expect("a status");
    let said = [
        (
            "Ignored",
            "spec.pause ended 2020-01-01T00:00:00Z and holds nothing",
        ),
        (
            "Weakened",
            "spec.services.email.overrides[0] (Deployment): pods share the node's network",
        ),
    ];
    for (type_, message) in said {
        let mut condition = status.conditions[0].clone();
        (condition.type_, condition.message) = (type_.into(), message.into());
        status.conditions.push(condition);
    }
    let findings = findings(&shop, None);
    for (_, message) in said {
        let told = findings.iter().find(|told| told.message == message);
        assert!(told.is_some_and(|told| !told.wrong), "{findings:?}");
    }
}

#[test]
fn a_newer_generation_is_told_of_one_service_too() {
    let mut shop = shop("healthy");
    shop.metadata.generation = shop.metadata.generation.map(|generation| generation + 1);
    let told = findings(&shop, Some("email"));
    assert!(matches!(&told[..], [only] if only.state == "not seen yet" && only.wrong));
}

#[test]
fn what_a_service_that_is_wrong_says_too_is_wrong() {
    let mut shop = shop("healthy");
    let status = shop.status.as_mut().expect("a status");
    let (first, second) = ("the volume is small", "");
    for (service, (phase, message)) in status.services.iter_mut().zip([
        (Phase::Running, first),
        (Phase::Failed, first),
        (Phase::Failed, second),
        (Phase::Failed, second),
    ]) {
        (service.phase, service.message) = (phase, message.into());
    }
    let told = findings(&shop, None);
    let joined = told.iter().find(|finding| finding.message == first);
    assert!(joined.is_some_and(|finding| finding.wrong && finding.holds_up.len() == 1));
    let empty = told.iter().filter(|finding| finding.message == second);
    assert_eq!(empty.count(), 2, "{told:?}");
}

#[test]
fn a_service_that_runs_on_without_its_database_is_told_of_that() {
    let mut shop = shop("healthy");
    let status = shop.status.as_mut().expect("a status");
    let databases = status.conditions.iter_mut();
    let databases = databases.filter(|condition| condition.type_ == "DatabasesReady");
    for condition in databases {
        (condition.status, condition.reason) = ("False".into(), "Unschedulable".into());
        condition.message = "pod corner-email-db-0 fits on no node".into();
    }
    let told = findings(&shop, Some("email"));
    assert!(
        matches!(&told[..], [only] if only.wrong && only.message.contains("corner-email-db")),
        "{told:?}"
    );
    assert_eq!(findings(&shop, Some("users")), []);
}

#[test]
fn the_last_five_warnings_are_told_the_newest_first() {
    let many: Vec<_> = (0..9)
        .map(|n| event(n, "corner-email", "Warning", "Failed", &n.to_string()))
        .collect();
    let notes: Vec<_> = warnings(&many, &shop("healthy"), None)
        .into_iter()
        .map(|w| w.note)
        .collect();
    assert_eq!(notes, ["8", "7", "6", "5", "4"]);
}
