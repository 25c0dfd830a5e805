//! The pages name all of it, and it asks for figures that there are.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{Alert, Board, Panel, Scope, alerts, boards, files, grafana, rules, vmui};

/// What PromQL says itself, where no bracket follows.
const WORDS: [&str; 5] = ["by", "on", "unless", "and", "or"];
/// Of which nobody registers anything: the scrape itself makes it.
const OF_THE_SCRAPE: &str = "up";
/// What the scrape adds, and what each bucket has.
const OF_EACH_TARGET: [&str; 5] = ["namespace", "shop", "service", "job", "le"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("a page")
}

fn all_alerts() -> impl Iterator<Item = &'static Alert> {
    alerts::ALL.iter().flat_map(|group| group.alerts)
}

fn panels(board: &Board) -> impl Iterator<Item = &'static Panel> + use<> {
    board.rows.iter().flat_map(|row| row.panels)
}

/// Every expression with where it stands.
fn expressions() -> Vec<(String, &'static str)> {
    let of_alerts = all_alerts().map(|alert| (alert.name.to_owned(), alert.expr));
    let of_panels = boards::ALL.into_iter().flat_map(|board| {
        panels(board).flat_map(move |panel| {
            let place = format!("{}, {}", board.title, panel.title);
            let queries = panel.queries.iter();
            queries.map(move |query| (place.clone(), query.expr))
        })
    });
    of_alerts.chain(of_panels).collect()
}

/// The names of the page's lists: `` | `name{label}` | type | ``. A histogram has three more.
fn documented() -> BTreeSet<String> {
    let page = page("metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let (name, rest) = row.split_once('`').expect("a name");
        let name = name.split('{').next().unwrap_or_default();
        let ends: &[_] = if rest.starts_with(" | histogram") {
            &["_bucket", "_count", "_sum"]
        } else {
            &[""]
        };
        ends.iter().map(move |end| format!("{name}{end}"))
    })
    .collect()
}

/// The labels in an expression: of lists, and of conditions on figures.
fn labels_of(expr: &str) -> BTreeSet<String> {
    let lists = ["by (", "on ("].map(|word| expr.split(word).skip(1));
    let lists = lists.into_iter().flatten().filter_map(|rest| {
        let (list, _) = rest.split_once(')')?;
        Some(list.split(", ").map(str::to_owned))
    });
    let conditions = expr.split('"').step_by(2).filter_map(|part| {
        let part = part
            .strip_suffix("=~")
            .or(part.strip_suffix("!~"))
            .or(part.strip_suffix('='))?;
        let part = part.trim_end_matches('!');
        let start = part.rfind(['{', ' ', ','])?;
        Some(part[start + 1..].to_owned())
    });
    let conditions = conditions.filter(|label| label.starts_with(char::is_alphabetic));
    lists.flatten().chain(conditions).collect()
}

/// The names of metrics in an expression: words that are no function, label, text or time.
fn metrics_of(expr: &str) -> BTreeSet<String> {
    let mut text = String::new();
    let mut depth = 0;
    for (index, part) in expr.split('"').enumerate() {
        // What stands in quotes may have any sign.
        let part = if index % 2 == 0 { part } else { "" };
        for sign in part.chars() {
            depth += i32::from(matches!(sign, '{' | '['));
            text.push(if depth == 0 { sign } else { ' ' });
            depth -= i32::from(matches!(sign, '}' | ']'));
        }
    }
    for list in ["by (", "on ("] {
        while let Some((before, rest)) = text.split_once(list) {
            let (_, after) = rest.split_once(')').expect("a list that ends");
            text = format!("{before} {after}");
        }
    }
    let is_of_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let mut found = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_of_name) {
        let word = &rest[start..];
        let (word, after) = word.split_at(word.find(|s| !is_of_name(s)).unwrap_or(word.len()));
        let is_number = word.starts_with(|sign: char| sign.is_ascii_digit());
        if !is_number && !after.trim_start().starts_with('(') && !WORDS.contains(&word) {
            found.insert(word.to_owned());
        }
        rest = after;
    }
    found
}

#[test]
fn names_are_found_in_expressions() {
    let found = metrics_of(
        r#"sum by (a, b) (increase(x_total{c=~"d|e{"}[10m])) > 0.9 unless on (a) max by (a) (y) == z"#,
    );
    assert_eq!(found, ["x_total", "y", "z"].map(str::to_owned).into());
}

#[test]
fn each_expression_asks_for_figures_that_there_are() {
    let mut there = documented();
    assert!(there.contains("shop_operator_leader"), "{there:?}");
    there.insert(OF_THE_SCRAPE.to_owned());
    for (place, expr) in expressions() {
        let asked = metrics_of(expr);
        // One on a word that the parser above takes for none would ask for nothing.
        assert!(!asked.is_empty(), "{place}");
        let unknown: Vec<_> = asked.difference(&there).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?}");
    }
}

#[test]
fn each_expression_asks_for_labels_that_there_are() {
    let page = page("metrics.md");
    for (place, expr) in expressions() {
        let mut there: BTreeSet<_> = OF_EACH_TARGET.map(str::to_owned).into();
        for name in metrics_of(expr) {
            let is_it = |row: &str| {
                let (documented, _) = row.split_once(['{', '`']).unwrap_or_default();
                let end = name.strip_prefix(documented);
                end.is_some_and(|end| ["", "_bucket", "_count", "_sum"].contains(&end))
            };
            let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
            let labels = rows.filter(|row| is_it(row)).filter_map(|row| {
                let (_, rest) = row.split_once('`')?.0.split_once('{')?;
                Some(rest.trim_end_matches('}').split(", ").map(str::to_owned))
            });
            there.extend(labels.flatten());
        }
        let asked = labels_of(&expr.replace(", $WHERE}", "}"));
        let unknown: Vec<_> = asked.difference(&there).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?}");
    }
}

#[test]
fn labels_are_found_in_expressions() {
    let found =
        labels_of(r#"sum by (a, b) (x{c=~"d|e{", f!="g"}[10m]) > 0.9 unless on (h) y{i="j"} == z"#);
    let labels = ["a", "b", "c", "f", "h", "i"];
    assert_eq!(found, labels.map(str::to_owned).into());
}

#[test]
fn what_the_reader_chooses_stands_in_every_expression_of_a_board_and_only_there() {
    for board in boards::ALL {
        for query in panels(board).flat_map(|panel| panel.queries) {
            let shown = grafana::expr(board.scope, query.expr);
            let of_shops = board.scope == Scope::Operator && query.expr.contains("_shop_serving");
            let of_reasons = board.scope == Scope::Operator && query.expr.contains("_shop_ready");
            if !of_shops && !of_reasons {
                assert!(shown.contains("=~\"$namespace\""), "{shown}");
            }
            let local = vmui::expr(query.expr);
            assert!(!local.contains('$') && !shown.contains("WHERE"), "{local}");
        }
    }
    for alert in all_alerts() {
        assert!(!alert.expr.contains('$'), "{}", alert.name);
    }
}

#[test]
fn each_label_that_a_legend_shows_is_kept_by_its_expression() {
    for board in boards::ALL {
        for query in panels(board).flat_map(|panel| panel.queries) {
            for part in query.legend.split("{{").skip(1) {
                let label = part.split("}}").next().unwrap_or_default();
                let kept = query.expr.split("by (").skip(1).any(|list| {
                    let list = list.split(')').next().unwrap_or_default();
                    list.split(", ").any(|kept| kept == label)
                });
                assert!(kept, "{}: {}", board.title, query.legend);
            }
        }
    }
}

/// An expression without a list of labels keeps none that an alert could show.
#[test]
fn each_label_that_an_alert_shows_is_kept_by_its_expression() {
    for alert in all_alerts() {
        let address = rules::address(alert.board);
        let texts = [alert.summary, alert.description, &address];
        for part in texts.iter().flat_map(|text| text.split("$labels.").skip(1)) {
            let label = part.split_whitespace().next().unwrap_or_default();
            let lists = alert.expr.split("by (").skip(1);
            let mut kept = lists.map(|list| {
                let list = list.split(')').next().unwrap_or_default();
                list.split(", ").any(|kept| kept == label)
            });
            let (first, others) = (kept.next(), kept.all(|kept| kept));
            assert!(first == Some(true) && others, "{}: {label}", alert.name);
        }
    }
}

#[test]
fn rows_are_full_at_most() {
    for board in boards::ALL {
        for row in board.rows {
            assert!(!row.panels.is_empty(), "{}", row.title);
        }
        for panel in panels(board) {
            assert!((1..=12).contains(&panel.width), "{}", panel.title);
            assert!(panel.queries.len() < 26, "{}", panel.title);
            assert!(!panel.description.is_empty(), "{}", panel.title);
        }
    }
}

#[test]
fn the_page_lists_the_boards() {
    let page = page("metrics.md");
    let listed: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ["))
        .filter_map(|line| line.split_once("](../charts/shop-operator/files/dashboards/"))
        .filter_map(|(title, rest)| Some((title, rest.split_once(".json)")?.0)))
        .collect();
    let there: Vec<_> = boards::ALL.iter().map(|b| (b.title, b.name)).collect();
    assert_eq!(listed, there);
}

#[test]
fn what_is_checked_in_is_what_stands_here() {
    for (path, content) in files().expect("files") {
        let there = fs::read(root().join(&path)).unwrap_or_default();
        assert!(
            there == content,
            "{}: run `cargo xtask generate`",
            path.display()
        );
    }
}
