//! Boards as the page of VictoriaMetrics reads them (`-vmui.customDashboardsPath`). It has no variables: everything is shown.

use anyhow::Result;
use serde::Serialize;

use super::{Board, LOCAL_RANGE, Panel, RANGE, Unit};

#[derive(Serialize)]
struct Page {
    title: &'static str,
    rows: Vec<PageRow>,
}

#[derive(Serialize)]
struct PageRow {
    title: &'static str,
    panels: Vec<PagePanel>,
}

#[derive(Serialize)]
struct PagePanel {
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    width: u8,
    expr: Vec<String>,
    alias: Vec<&'static str>,
}

pub(super) fn json(board: &Board) -> Result<Vec<u8>> {
    let rows = board.rows.iter().map(|row| PageRow {
        title: row.title,
        panels: row.panels.iter().map(panel).collect(),
    });
    let page = Page {
        title: board.title,
        rows: rows.collect(),
    };
    let mut text = serde_json::to_vec_pretty(&page)?;
    text.push(b'\n');
    Ok(text)
}

fn panel(panel: &Panel) -> PagePanel {
    PagePanel {
        title: panel.title,
        description: panel.description,
        unit: unit(panel.unit),
        // What is one figure in Grafana is a line here.
        width: panel.width.max(4),
        expr: panel.queries.iter().map(|query| expr(query.expr)).collect(),
        alias: panel.queries.iter().map(|query| query.legend).collect(),
    }
}

/// Of all Shops, over a fixed range.
pub(super) fn expr(expr: &str) -> String {
    expr.replace(", $WHERE}", "}")
        .replace("{$WHERE}", "")
        .replace(RANGE, LOCAL_RANGE)
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "s",
        Unit::PerSecond => "/s",
        Unit::PerMinute => "/min",
        Unit::Bytes => "B",
        Unit::Ratio | Unit::Count | Unit::YesNo => "",
    }
}
