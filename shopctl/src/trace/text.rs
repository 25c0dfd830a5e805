//! A trace and a story for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::Span;
use crate::{
    order::Story,
    output::{BAD, GOOD, UNDER_WAY, escaped},
};

const QUIET: Style = AnsiColor::BrightBlack.on_default();

/// What happened to an order, a line for each step.
pub fn of_story(story: &Story) -> String {
    let mut text = format!(
        "Order {} ({}): {}\n",
        escaped(&story.number),
        story.order_id,
        escaped(&story.state)
    );
    let width = story
        .entries
        .iter()
        .map(|entry| entry.service.len())
        .max()
        .unwrap_or_default();
    for entry in &story.entries {
        let style = match entry.outcome.as_str() {
            "done" => GOOD,
            "failed" => BAD,
            "retrying" | "compensated" => UNDER_WAY,
            _ => Style::new(),
        };
        let attempt = entry
            .attempt
            .filter(|n| *n > 1)
            .map(|n| format!(" (try {n})"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:.3}  {:<width$}  {style}{:<11}{style:#}  {}{attempt}: {}",
            entry.at,
            escaped(&entry.service),
            escaped(&entry.outcome),
            escaped(&entry.step),
            escaped(&entry.detail),
        );
    }
    text
}

/// The spans of a trace: when each began and how long it took, below the one that it belongs to. Statements of databases that went well
/// are left out, but for `all`.
pub fn of_tree(id: &str, tree: &[Span], all: bool) -> String {
    let failed = tree.iter().filter(|span| span.failure.is_some()).count();
    let lasts = tree
        .iter()
        .map(|span| span.begins + span.lasts)
        .max()
        .unwrap_or_default();
    let failures = if failed == 0 {
        String::new()
    } else {
        format!(", {BAD}{failed} failed{BAD:#}")
    };
    let mut text = format!(
        "Trace {}: {} spans{failures}, {}\n",
        escaped(id),
        tree.len(),
        time(lasts)
    );
    let shown = |span: &&Span| all || !span.is_statement || span.failure.is_some();
    let width = tree
        .iter()
        .map(|span| span.service.len())
        .max()
        .unwrap_or_default();
    for span in tree.iter().filter(shown) {
        let indent = "  ".repeat(span.depth);
        let style = if span.failure.is_some() {
            BAD
        } else {
            Style::new()
        };
        let _ = write!(
            text,
            "  {QUIET}{:>9}{QUIET:#} {:>9}  {:<width$}  {indent}{style}{}{style:#}",
            time(span.begins),
            time(span.lasts),
            escaped(&span.service),
            escaped(&span.name),
        );
        if !span.kind.is_empty() {
            let _ = write!(text, " {QUIET}{}{QUIET:#}", escaped(&span.kind));
        }
        if let Some(failure) = &span.failure {
            let _ = write!(text, " {BAD}{}{BAD:#}", escaped(failure));
        }
        text.push('\n');
    }
    let hidden = tree.len() - tree.iter().filter(shown).count();
    if hidden > 0 {
        let _ = writeln!(
            text,
            "  and {hidden} statements of databases; --all tells them too"
        );
    }
    text
}

/// Microseconds as people read them.
fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(
        depth: usize,
        name: &str,
        lasts: u64,
        failure: Option<&str>,
        is_statement: bool,
    ) -> Span {
        Span {
            depth,
            service: "orders".into(),
            name: name.into(),
            kind: "client".into(),
            begins: 1_500,
            lasts,
            failure: failure.map(str::to_owned),
            is_statement,
            id: "1".into(),
        }
    }

    #[test]
    fn a_trace_is_told_as_a_tree_with_its_failures() {
        let tree = [
            span(0, "POST /orders", 2_340_000, None, false),
            span(1, "INSERT orders", 800, None, true),
            span(1, "INSERT \u{1b}[2Joutbox", 900, Some("08006"), true),
        ];
        let plain = |all| anstream::adapter::strip_str(&of_tree("4bf9", &tree, all)).to_string();
        insta::assert_snapshot!(plain(false), @r"
        Trace 4bf9: 3 spans, 1 failed, 2.34 s
             1.5 ms    2.34 s  orders  POST /orders client
             1.5 ms    900 us  orders    INSERT \u{1b}[2Joutbox client 08006
          and 1 statements of databases; --all tells them too
        ");
        assert!(plain(true).contains("INSERT orders"));
    }
}
