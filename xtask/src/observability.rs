//! Boards and alerts, written once here as data: Grafana's JSON and the rules go into the operator's chart, vmui's JSON into the local stack.

mod alerts;
mod boards;
mod grafana;
mod rules;
#[cfg(test)]
mod tests;
mod vmui;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;

/// For what range rates are asked in the local stack, where Grafana chooses it by the zoom: it is scraped every ten seconds.
const LOCAL_RANGE: &str = "2m";
/// What Grafana puts the range of a rate in for.
const RANGE: &str = "$__rate_interval";

/// A page of panels.
struct Board {
    /// Part of the file's name and of the address: `shopkeeper-<name>`.
    name: &'static str,
    title: &'static str,
    description: &'static str,
    scope: Scope,
    rows: &'static [Row],
}

/// What the reader of a board chooses. `$WHERE` in an expression is that choice; it stands last in its braces.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// A namespace and a Shop.
    Shop,
    /// These, and a service.
    Service,
    /// The namespace of an operator.
    Operator,
}

struct Row {
    title: &'static str,
    panels: &'static [Panel],
}

struct Panel {
    kind: Kind,
    title: &'static str,
    description: &'static str,
    unit: Unit,
    /// Of twelve.
    width: u8,
    queries: &'static [Query],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Lines over time.
    Graph,
    /// The newest figure alone.
    Figure,
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    PerSecond,
    PerMinute,
    /// From 0 to 1.
    Ratio,
    Bytes,
    Count,
    /// 0 or 1.
    YesNo,
}

struct Query {
    expr: &'static str,
    /// What a line is called; `{{label}}` is the label's value.
    legend: &'static str,
}

struct Group {
    name: &'static str,
    alerts: &'static [Alert],
}

struct Alert {
    name: &'static str,
    expr: &'static str,
    /// For how long it must be so: `5m`.
    hold: &'static str,
    severity: Severity,
    summary: &'static str,
    description: &'static str,
    /// Where to look first.
    board: &'static Board,
}

#[derive(Clone, Copy)]
enum Severity {
    /// Somebody cannot buy, or a person has to look now.
    Critical,
    /// It can wait for the morning.
    Warning,
}

impl Board {
    fn uid(&self) -> String {
        format!("shopkeeper-{}", self.name)
    }
}

impl Scope {
    /// The labels that the reader chooses, the broadest first.
    const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Shop => &["namespace", "shop"],
            Self::Service => &["namespace", "shop", "service"],
            Self::Operator => &["namespace"],
        }
    }
}

const fn graph(
    title: &'static str,
    unit: Unit,
    description: &'static str,
    queries: &'static [Query],
) -> Panel {
    Panel {
        kind: Kind::Graph,
        title,
        description,
        unit,
        width: 4,
        queries,
    }
}

const fn figure(
    title: &'static str,
    unit: Unit,
    description: &'static str,
    queries: &'static [Query],
) -> Panel {
    Panel {
        kind: Kind::Figure,
        width: 2,
        ..graph(title, unit, description, queries)
    }
}

const fn query(legend: &'static str, expr: &'static str) -> Query {
    Query { expr, legend }
}

/// Every file of these, by its path below the workspace's root.
pub(crate) fn files() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for board in boards::ALL {
        let file = format!("{}.json", board.name);
        let in_chart = PathBuf::from("charts/shop-operator/files/dashboards").join(&file);
        files.insert(in_chart, grafana::json(board)?);
        let in_stack = format!("dev/observe/stack/dashboard-{file}");
        files.insert(in_stack.into(), vmui::json(board)?);
    }
    files.insert(
        "charts/shop-operator/files/alerts.yaml".into(),
        rules::yaml(alerts::ALL)?.into_bytes(),
    );
    Ok(files)
}
