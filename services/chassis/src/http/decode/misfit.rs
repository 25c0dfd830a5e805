//! What does not fit, in plain words.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use crate::http::problem::FieldError;

/// What does not fit, and the way to it, innermost step first.
#[derive(Debug)]
pub(super) struct Misfit {
    way: Vec<Step>,
    detail: String,
}

/// One step of the way.
#[derive(Debug)]
pub(super) enum Step {
    Field(String),
    Item(usize),
}

impl Misfit {
    pub(super) fn new(detail: impl Display) -> Self {
        Self {
            way: vec![],
            detail: detail.to_string(),
        }
    }

    pub(super) fn at(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Misfit {}

impl From<Misfit> for FieldError {
    fn from(misfit: Misfit) -> Self {
        let mut pointer = String::new();
        for step in misfit.way.iter().rev() {
            match step {
                Step::Field(name) if pointer.is_empty() => pointer.push_str(name),
                Step::Field(name) => pointer.extend([".", name]),
                Step::Item(index) => pointer.push_str(&format!("[{index}]")),
            }
        }
        Self {
            pointer,
            detail: misfit.detail,
        }
    }
}

/// The sentences for what serde finds wrong by itself.
impl de::Error for Misfit {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(must_be(&expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(must_be(&expected.to_string()))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new(must_be(&expected.to_string()))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(one_of(expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.join(", ");
        Self::new(format!("is not known here; known are {known}")).at(Step::Field(field.to_owned()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").at(Step::Field(field.to_owned()))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new("is given more than once").at(Step::Field(field.to_owned()))
    }
}

/// What serde's visitors expect, in words of JSON.
pub(super) fn must_be(expected: &str) -> String {
    let plain = match expected {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" | "isize" => {
            "a whole number"
        }
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "unit" => "null",
        "a UUID string" | "a formatted UUID string" => {
            "a UUID such as 0192d5a4-7c1e-7b3a-9c55-2f6d1e8a4b01"
        }
        named if named.starts_with("struct ") => "an object",
        other => other,
    };
    format!("must be {plain}")
}

pub(super) fn one_of(words: &[&str]) -> String {
    format!("must be one of {}", words.join(", "))
}

/// Bounds are told where they mean something to people, which those of 64 bits do not.
pub(super) fn whole_number(least: i128, most: i128) -> String {
    match (least, most > i128::from(u32::MAX)) {
        (0, true) => "must be a whole number, and not below 0".to_owned(),
        (_, true) => "must be a whole number".to_owned(),
        (_, false) => format!("must be a whole number from {least} to {most}"),
    }
}
