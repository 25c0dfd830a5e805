//! Each alert has its page. That it asks for figures that there are is a test of xtask, which writes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde::Deserialize;

/// What each page says, in this order.
const HEADINGS: [&str; 5] = [
    "## What you see",
    "## What it means",
    "## What the operator does already",
    "## What you do",
    "## How you know that it is over",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "name")]
    _name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    _for: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn rules() -> Vec<Rule> {
    let rules = include_str!("../../../charts/shop-operator/files/alerts.yaml");
    let rules: Rules = serde_yaml::from_str(rules).expect("rules of Prometheus");
    rules.groups.into_iter().flat_map(|g| g.rules).collect()
}

fn names() -> BTreeSet<String> {
    rules().into_iter().map(|rule| rule.alert).collect()
}

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The pages by the names of their alerts.
fn pages() -> BTreeMap<String, String> {
    let files = fs::read_dir(docs().join("runbooks")).expect("a folder");
    let pages = files.map(|file| {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("a page");
        (name.into_owned(), text)
    });
    pages.collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).expect("a page")
}

#[test]
fn each_alert_has_its_page_and_each_page_its_alert() {
    let alerts = names();
    assert_eq!(rules().len(), alerts.len(), "no name twice");
    assert_eq!(pages().into_keys().collect::<BTreeSet<_>>(), alerts);
    let listed = page("metrics.md");
    let listed = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| [")?.split_once("](runbooks/"));
    let listed: BTreeSet<_> = listed
        .map(|(name, rest)| {
            assert!(rest.starts_with(&format!("{name}.md)")), "{rest}");
            name.to_owned()
        })
        .collect();
    assert_eq!(listed, alerts);
}

#[test]
fn each_alert_says_how_urgent_it_is_and_what_it_is_about() {
    for rule in rules() {
        let name = rule.alert;
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning")), "{name}");
        for annotation in ["summary", "description", "runbook_url", "dashboard"] {
            assert!(rule.annotations.contains_key(annotation), "{name}");
        }
    }
}

#[test]
fn each_page_says_the_same_things_in_the_same_order() {
    for (name, text) in pages() {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(format!("# {name}").as_str()));
        let headings: Vec<_> = lines.filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{name}");
    }
}

#[test]
fn the_commands_of_pages_and_alerts_are_there() {
    let shopctl = page("shopctl.md");
    let headings = shopctl
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .flat_map(|heading| heading.split(", "));
    let commands: BTreeSet<_> = headings.collect();
    let told = rules().into_iter().flat_map(|rule| rule.annotations);
    let texts = told.map(|(_, text)| text).chain(pages().into_values());
    let mut seen = 0;
    for text in texts {
        for command in text.split("shopctl -n ").skip(1) {
            let line = command.lines().next().unwrap_or_default();
            // What Prometheus fills in has spaces.
            let line = line.replace("{{ ", "").replace(" }}", "");
            let mut words = line.split_whitespace().skip(1).peekable();
            if words.next_if_eq(&"--shop").is_some() {
                words.next();
            }
            let command = words.next().unwrap_or_default().trim_matches('`');
            assert!(commands.contains(command), "{command}: {line}");
            seen += 1;
        }
    }
    assert!(seen > 10, "commands are found");
}

#[test]
fn reasons_that_alerts_ask_for_are_reasons() {
    use strum::IntoEnumIterator;
    let known: BTreeSet<_> = shop_operator::reason::Reason::iter()
        .map(|reason| reason.as_str())
        .collect();
    for rule in rules() {
        // Figures of services have reasons of their own, by which they are only told apart.
        for asked in rule.expr.split("{reason").skip(1) {
            let asked = asked.split('"').nth(1).unwrap_or_default();
            for reason in asked.split('|') {
                assert!(known.contains(reason), "{}: {reason}", rule.alert);
            }
        }
    }
}
