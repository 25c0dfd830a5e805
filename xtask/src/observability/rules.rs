//! Alerts as Prometheus and vmalert read them.

use std::fmt::Write;

use anyhow::Result;

use super::{Alert, Board, Group, Scope, Severity};

const HEAD: &str = "\
# Written by `cargo xtask generate` from xtask/src/observability/alerts.rs, which says why each is as it is. vmalert reads it as it stands;
# templates/prometheusrule.yaml makes a PrometheusRule of it: RELEASE_NAME and RELEASE_NAMESPACE become those of the release, and pages and
# boards get the addresses of the chart's values.
groups:
";

pub(super) fn yaml(groups: &[Group]) -> Result<String> {
    let mut text = HEAD.to_owned();
    for group in groups {
        writeln!(text, "  - name: {}\n    rules:", group.name)?;
        for alert in group.alerts {
            rule(&mut text, alert)?;
        }
    }
    Ok(text)
}

fn rule(text: &mut String, alert: &Alert) -> Result<()> {
    writeln!(text, "      - alert: {}\n        expr: |-", alert.name)?;
    for line in alert.expr.lines() {
        writeln!(text, "          {line}")?;
    }
    let severity = match alert.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
    };
    writeln!(text, "        for: {}", alert.hold)?;
    writeln!(text, "        labels:\n          severity: {severity}")?;
    writeln!(text, "        annotations:")?;
    let page = format!("docs/runbooks/{}.md", alert.name);
    for (name, value) in [
        ("summary", alert.summary),
        ("description", alert.description),
        ("runbook_url", &page),
        ("dashboard", &address(alert.board)),
    ] {
        // A text of JSON is one of YAML.
        let value = serde_json::to_string(value)?;
        writeln!(text, "          {name}: {value}")?;
    }
    Ok(())
}

/// Of the board in a Grafana, with what the alert is about chosen.
pub(super) fn address(board: &Board) -> String {
    let chosen = board.scope.labels().iter().map(|label| match board.scope {
        // An operator that is gone has no labels.
        Scope::Operator => format!("var-{label}=RELEASE_NAMESPACE"),
        Scope::Shop | Scope::Service => format!("var-{label}={{{{ $labels.{label} }}}}"),
    });
    let chosen: Vec<_> = chosen.collect();
    format!("/d/{}?{}", board.uid(), chosen.join("&"))
}
