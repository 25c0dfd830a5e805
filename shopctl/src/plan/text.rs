//! A plan for a terminal.

use std::fmt::Write;

use anstyle::Style;
use serde_json::Value;

use super::{
    Answer,
    diff::{Action, Field, Object},
};
use crate::output::{BAD, GOOD, UNDER_WAY, escaped, wrapped};

/// The services in a few words, then each object with the fields that change.
pub fn text(answer: &Answer) -> String {
    let mut text = String::new();
    if answer.objects.is_empty() {
        let _ = writeln!(text, "Nothing changes in Shop {}.", escaped(&answer.shop));
    }
    for service in &answer.services {
        let steps = service.steps.join(", ");
        text += &wrapped(&format!("{}: {steps}", service.service), "");
        let back = service.back.as_deref();
        text += &back.map(|back| wrapped(back, "  ")).unwrap_or_default();
    }
    for note in answer.notes.iter().chain(&answer.waits) {
        text += &wrapped(note, "");
    }
    for (number, object) in answer.objects.iter().enumerate() {
        // A name alone needs no air.
        if number == 0 || !object.fields.is_empty() {
            text.push('\n');
        }
        text += &of_object(object);
    }
    text
}

fn of_object(object: &Object) -> String {
    let (sign, style) = match object.action {
        Action::Create => ("+", GOOD),
        Action::Change => ("~", UNDER_WAY),
        Action::Delete => ("-", BAD),
        Action::Refuse => ("!", BAD),
    };
    let mut text = format!("{style}{sign} {}{style:#}\n", escaped(&object.object));
    if let Some(refused) = &object.refused {
        text += &wrapped(&format!("it stays as it is: {refused}"), "  ");
    }
    for field in &object.fields {
        text += &line("-", BAD, field, &field.old);
        text += &line("+", GOOD, field, &field.new);
    }
    text
}

fn line(sign: &str, style: Style, field: &Field, value: &Value) -> String {
    let value = match value {
        Value::Null => return String::new(),
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    };
    format!(
        "  {style}{sign} {}: {value}{style:#}\n",
        escaped(&field.field)
    )
}
