//! docs/metrics.md and what a service exports are one list.

use std::collections::{BTreeMap, BTreeSet};

/// Type and labels.
type Shape = (String, BTreeSet<String>);

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// Compares what a service exports with `sections` of the page, which say all that it has. What is counted by labels is exported from the
/// first time on.
pub fn is_as_documented(text: &str, sections: &[&str]) {
    let documented: BTreeMap<_, _> = sections.iter().flat_map(|name| rows(name)).collect();
    let exported = families(text);
    for (name, (kind, labels)) in &exported {
        let row = documented.get(name);
        let (said, said_labels) = row.unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        assert_eq!(kind, said, "the type of {name}, and what the page says");
        assert!(
            labels == said_labels || !was_counted(text, name),
            "{name} has the labels {labels:?}, and on the page {said_labels:?}"
        );
    }
    let missing = documented
        .iter()
        .find(|(name, (_, labels))| labels.is_empty() && !exported.contains_key(*name));
    assert!(
        missing.is_none(),
        "docs/metrics.md has {missing:?}, which is not exported"
    );
}

/// The rows below a heading: name with labels, type, meaning.
fn rows(section: &str) -> Vec<(String, Shape)> {
    let heading = format!("\n### {section}\n");
    let (_, below) = PAGE.split_once(&heading).expect("a heading of the page");
    let below = below.split("\n#").next().unwrap_or_default();
    let rows = below.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let (name, rest) = row.split_once('`').expect("a name in backticks");
        let kind = rest.split('|').nth(1).expect("a type").trim();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let labels = labels.trim_end_matches('}').split(',').map(str::trim);
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        (name.to_owned(), (kind.to_owned(), labels.collect()))
    });
    rows.collect()
}

/// Names as they are asked for: those of counters have an end that their family does not have.
fn families(text: &str) -> BTreeMap<String, Shape> {
    let families = text.lines().filter_map(|line| {
        let (family, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let sample = match kind {
            "counter" => format!("{family}_total"),
            "histogram" => format!("{family}_count"),
            _ => family.to_owned(),
        };
        let labels = labels_of(text, &sample);
        let name = if kind == "counter" { &sample } else { family };
        Some((name.to_owned(), (kind.to_owned(), labels)))
    });
    families.collect()
}

/// Whether there are samples already, and not the family's name alone.
fn was_counted(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.starts_with(name))
}

fn labels_of(text: &str, sample: &str) -> BTreeSet<String> {
    let samples = text.lines().filter_map(|line| line.strip_prefix(sample));
    let labels = samples.filter_map(|rest| rest.strip_prefix('{')?.split_once("} "));
    // A route has braces and commas of its own, and no quotation mark.
    let labels = labels.flat_map(|(labels, _)| labels.split('"').step_by(2));
    let labels = labels.filter_map(|part| part.trim_start_matches(',').strip_suffix('='));
    labels.map(str::to_owned).collect()
}
