//! Standard output: with colours where it is a terminal and NO_COLOR is not set, and without a panic where nobody reads it.

use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::Failure;

/// How many columns a line may have.
pub const WIDTH: usize = 100;

/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// On its way.
pub const UNDER_WAY: Style = AnsiColor::Yellow.on_default();
/// Needs help.
pub const BAD: Style = AnsiColor::Red.on_default();

/// For whom the output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// People.
    #[default]
    Text,
    /// Programs.
    Json,
}

/// Prints text as it is, but for colours that nobody would see.
///
/// # Errors
/// When nobody reads it.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::NobodyReads,
        _ => Failure::Refused(format!("the output cannot be written: {error}")),
    })
}

/// Prints a value for programs.
///
/// # Errors
/// When nobody reads it.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::Refused(format!("no JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// Text in lines of at most [`WIDTH`] columns, each after `indent`.
pub fn wrapped(text: &str, indent: &str) -> String {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(indent)
        .subsequent_indent(indent)
        .break_words(false);
    let lines = textwrap::wrap(text, options).into_iter();
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}
