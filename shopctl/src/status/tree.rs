//! A Shop as a tree for a terminal of 100 columns.

use std::fmt::Write;

use anstyle::Style;
use shop_operator::api::{Phase, ServiceStatus};

use super::view::{Part, View};
use crate::output::{BAD, GOOD, UNDER_WAY, escaped, wrapped};

/// A line of the tree, and what is said below it.
struct Branch {
    name: String,
    state: &'static str,
    style: Style,
    pods: String,
    further: Vec<String>,
    /// Below the line.
    details: Vec<String>,
}

/// The Shop, its databases, its broker and its services.
pub fn tree(view: &View) -> String {
    let parts = [databases(view), broker(view)];
    let branches: Vec<_> = parts
        .into_iter()
        .chain(view.services.iter().map(service))
        .collect();
    let mut text = heading(view, &branches);
    let width = |of: fn(&Branch) -> usize| branches.iter().map(of).max().unwrap_or_default();
    let widths = [
        width(|branch| branch.name.len()),
        width(|branch| branch.state.len()),
        width(|branch| branch.pods.len()),
    ];
    for (number, branch) in branches.iter().enumerate() {
        let last = number + 1 == branches.len();
        text += &line(branch, widths, if last { "└─ " } else { "├─ " });
        for detail in &branch.details {
            text += &wrapped(detail, if last { "     " } else { "│    " });
        }
    }
    text
}

/// The Shop's own sentence is left to the branch that says it too.
fn heading(view: &View, branches: &[Branch]) -> String {
    let mut text = format!(
        "Shop {} in namespace {}, version {}",
        view.name,
        view.namespace,
        escaped(&view.version)
    );
    if let Some(whole) = &view.last_whole {
        let _ = write!(text, "; the last that ran whole was {}", escaped(whole));
    }
    text.push('\n');
    if view.ready {
        text += &coloured(GOOD, &wrapped(&format!("Ready: {}", view.message), ""));
    } else {
        let style = if view.progress.is_some() {
            UNDER_WAY
        } else {
            BAD
        };
        let mut details = branches.iter().flat_map(|branch| &branch.details);
        let mut why = format!("Not ready ({})", view.reason);
        if !details.any(|detail| detail.contains(&view.message)) {
            let _ = write!(why, ": {}", view.message);
        }
        text += &coloured(style, &wrapped(&why, ""));
    }
    if let Some(progress) = &view.progress {
        text += &wrapped(&format!("On its way: {progress}"), "");
    }
    text
}

/// The line ends are left out of the colour.
fn coloured(style: Style, lines: &str) -> String {
    let colour = |line| format!("{style}{line}{style:#}\n");
    lines.lines().map(colour).collect()
}

fn line(branch: &Branch, [name, state, pods]: [usize; 3], stem: &str) -> String {
    let style = branch.style;
    let mut rest = format!("{:<pods$}", branch.pods);
    for further in &branch.further {
        let _ = write!(rest, "  {}", escaped(further));
    }
    let (name, stated) = (format!("{:<name$}", branch.name), branch.state);
    // What follows is aligned behind the colour; no line ends with spaces.
    match rest.trim_end() {
        "" => format!("{stem}{name}  {style}{stated}{style:#}\n"),
        rest => format!("{stem}{name}  {style}{stated:<state$}{style:#}  {rest}\n"),
    }
}

fn databases(view: &View) -> Branch {
    part("databases", &view.databases, None)
}

fn broker(view: &View) -> Branch {
    let filled = view.broker_filled_percent;
    let filled = filled.map(|percent| format!("{percent} % of its room for events is taken"));
    part("broker", &view.broker, filled)
}

fn part(name: &str, part: &Part, further: Option<String>) -> Branch {
    let (state, style) = match part.ready {
        Some(true) => ("ready", GOOD),
        Some(false) => ("not ready", BAD),
        None => ("unknown", UNDER_WAY),
    };
    // What is ready and has this reason has nothing to say.
    let is_well = part.ready == Some(true) && part.reason == "Ready";
    Branch {
        name: name.into(),
        state,
        style,
        pods: String::new(),
        further: further.into_iter().collect(),
        details: if is_well || part.message.is_empty() {
            Vec::new()
        } else {
            vec![part.message.clone()]
        },
    }
}

fn service(service: &ServiceStatus) -> Branch {
    let (state, style) = phase(service.phase);
    let (mut further, mut details) = (Vec::new(), Vec::new());
    if !service.version.is_empty() {
        further.push(service.version.clone());
    } else if !service.image.is_empty() {
        details.push(format!("image {}", service.image));
    }
    if let Some(host) = &service.host {
        further.push(format!("in {host}"));
    }
    if let Some(database) = &service.database {
        further.push(format!("database in {database}"));
    }
    if let Some(moving) = service.moving.as_ref().filter(|moving| !moving.given_up) {
        details.push(format!("moving since {}", moving.since.0));
    }
    if !service.message.is_empty() {
        details.push(service.message.clone());
    }
    Branch {
        name: escaped(&service.name),
        state,
        style,
        pods: format!("{}/{}", service.ready, service.desired),
        further,
        details,
    }
}

/// The name of a phase, and how urgent it is.
pub fn phase(phase: Phase) -> (&'static str, Style) {
    match phase {
        Phase::Pending => ("Pending", UNDER_WAY),
        Phase::Migrating => ("Migrating", UNDER_WAY),
        Phase::Extracting => ("Extracting", UNDER_WAY),
        Phase::Merging => ("Merging", UNDER_WAY),
        Phase::Rolling => ("Rolling", UNDER_WAY),
        Phase::Held => ("Held", UNDER_WAY),
        Phase::Running => ("Running", GOOD),
        Phase::Failed => ("Failed", BAD),
        Phase::Leaving => ("Leaving", UNDER_WAY),
        Phase::Hidden => ("Hidden", BAD),
    }
}
