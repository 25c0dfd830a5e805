//! Whatever boards and rules ask for is there, after somebody has bought.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::shop::text;
use e2e::wait::until;
use futures::{StreamExt, stream};
use serde_json::Value;

use crate::world::{PATIENCE, Part, SHOWS_WITHIN, World, world};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const RULES: &str = "charts/shop-operator/files/alerts.yaml";
/// Boards for Grafana, and those for the page of VictoriaMetrics.
const BOARDS: [&str; 2] = ["charts/shop-operator/files/dashboards", "dev/observe/stack"];
/// What may well be empty, by a part of its expression, and why.
const EMPTY: [(&str, &str); 2] = [
    (
        "grpc_server_call_duration_seconds",
        "nobody calls over gRPC where no Shop asks for it",
    ),
    (
        "shop_operator_reconcile_duration_seconds",
        "an operator that has nothing to do makes no pass",
    ),
];

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn every_rule_that_ships_is_evaluated_without_an_error() -> Result<()> {
    let world = world().await?;
    let shipped = fs::read_to_string(Path::new(ROOT).join(RULES)).context(RULES)?;
    let shipped: Value = serde_yaml::from_str(&shipped).context(RULES)?;
    let shipped = alerts(&shipped)?;
    ensure!(!shipped.is_empty(), "{RULES} has no rules");
    until("each rule is healthy", SHOWS_WITHIN, || async {
        let answer = world.ask_json(Part::Alerts, "/api/v1/rules", &[]).await?;
        let loaded = alerts(&answer["data"])?;
        let known: BTreeSet<_> = loaded.iter().map(|(name, _)| name).collect();
        for (name, _) in &shipped {
            ensure!(
                known.contains(name),
                "{name} is not loaded; `make observe` loads it"
            );
        }
        for (name, rule) in &loaded {
            ensure!(rule["health"] == "ok", "{name}: {}", rule["lastError"]);
        }
        Ok(Some(()))
    })
    .await
}

/// The rules of all groups, by name.
fn alerts(of: &Value) -> Result<Vec<(String, Value)>> {
    let groups = of["groups"].as_array().context("groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array());
    let named = |rule: &Value| {
        let name = text(rule, "alert").or_else(|_| text(rule, "name"))?;
        Ok((name, rule.clone()))
    };
    rules.flatten().map(named).collect()
}

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn every_panel_that_ships_shows_something_after_traffic() -> Result<()> {
    let world = world().await?;
    let panels = panels()?;
    world.paid_order().await?;
    // Rates need two looks at what is counted, ten seconds apart, in a stack that may be new.
    until("each panel shows something", PATIENCE, || async {
        let empty: Vec<_> = stream::iter(&panels)
            .filter_map(|panel| empty(&world, panel))
            .collect()
            .await;
        ensure!(empty.is_empty(), "empty:\n{}", empty.join("\n"));
        Ok(Some(()))
    })
    .await
}

/// What is wrong with a panel, if something is.
async fn empty(world: &World, (panel, expression): &(String, String)) -> Option<String> {
    if EMPTY.iter().any(|(part, _)| expression.contains(part)) {
        return None;
    }
    let why = match world.series(expression).await {
        Ok(series) if series.is_empty() => "no series".to_owned(),
        Ok(_) => return None,
        Err(error) => format!("{error:#}"),
    };
    Some(format!("{panel}: {why}: {expression}"))
}

/// The expressions of all panels of all boards, each with where it stands.
fn panels() -> Result<Vec<(String, String)>> {
    let mut panels = vec![];
    for folder in BOARDS {
        let mut boards = 0;
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).context(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let board: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
            let name = path.display().to_string();
            boards += 1;
            let found = panels_of(&board, &name);
            ensure!(!found.is_empty(), "{name} has no panel");
            panels.extend(found);
        }
        ensure!(boards > 0, "there is no board in {folder}");
    }
    Ok(panels)
}

fn panels_of(board: &Value, name: &str) -> Vec<(String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let rows = list(&board["rows"]);
    let in_rows = rows.iter().flat_map(|row| list(&row["panels"]));
    let mut found = vec![];
    for panel in list(&board["panels"]).into_iter().chain(in_rows) {
        let title = panel["title"].as_str().unwrap_or_default();
        let targets = list(&panel["targets"]).into_iter();
        let targets = targets.map(|target| target["expr"].clone());
        for expression in targets.chain(list(&panel["expr"])) {
            let expression = of_everything(expression.as_str().unwrap_or_default());
            found.push((format!("{name}, {title}"), expression));
        }
    }
    found
}

/// Grafana puts in for these what the reader has chosen: here all of it, over two minutes.
fn of_everything(expression: &str) -> String {
    let range = expression.replace("$__rate_interval", "2m");
    ["$namespace", "$shop", "$service"]
        .iter()
        .fold(range, |all, variable| all.replace(variable, ".*"))
}
