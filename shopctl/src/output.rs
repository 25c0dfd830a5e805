//! What is printed: with colours where that is a terminal and NO_COLOR is not set, and without a panic where nobody reads it.

use std::{
    fmt::Display,
    io::{ErrorKind, Write},
};

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

/// Says something beside the output, in one line. Whether anybody reads it does not matter.
pub fn complain(text: impl Display) {
    let line = format!("{}\n", escaped(&text.to_string()));
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Text of others for one line: a terminal would obey control characters.
pub fn escaped(text: &str) -> String {
    escaped_but(text, |_| false)
}

/// Text of others that may have several lines.
pub fn escaped_lines(text: &str) -> String {
    escaped_but(text, |character| character == '\n')
}

fn escaped_but(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !stays(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Text of others in lines of at most [`WIDTH`] columns, each after `indent`. Names are not broken at their hyphens.
pub fn wrapped(text: &str, indent: &str) -> String {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(indent)
        .subsequent_indent(indent)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let text = escaped_lines(text);
    let lines = textwrap::wrap(&text, options).into_iter();
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_others_steers_the_terminal() {
        let text = "a\u{1b}[2Jb\u{9b}c\u{7f}\r\n\u{e9}";
        assert_eq!(escaped(text), "a\\u{1b}[2Jb\\u{9b}c\\u{7f}\\r\\n\u{e9}");
        assert_eq!(escaped_lines("a\tb\nc"), "a\\tb\nc");
        assert_eq!(wrapped("a\u{1b}b\nc", "  "), "  a\\u{1b}b\n  c\n");
    }

    #[test]
    fn a_name_is_not_broken_at_its_hyphens() {
        let name = "corner-users-migrate-9c255b91-nkd4q";
        let lines = wrapped(&format!("{} {name}", "x".repeat(WIDTH - 20)), "");
        assert!(lines.lines().any(|line| line == name), "{lines}");
    }
}
