//! Input before its type is known.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::misfit::{Misfit, whole_number};

/// 2^53: up to here each whole number is one of its own as a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A JSON value, or the values of one query parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Every whole number that JSON libraries write, signed or not.
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// As written, repeated names included: whoever reads it refuses those.
    Object(Vec<(String, Value)>),
    /// Texts, of which each may be meant as a number, a word or a text. Never none.
    Parameter(Vec<String>),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Takes whatever JSON there is.
struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = object.next_entry()? {
            fields.push(field);
        }
        Ok(Value::Object(fields))
    }
}

impl Value {
    /// A query parameter as the one value it stands for.
    pub(super) fn single(self) -> Result<Self, Misfit> {
        let Self::Parameter(mut texts) = self else {
            return Ok(self);
        };
        match (texts.pop(), texts.is_empty()) {
            (Some(text), true) if !text.is_empty() => Ok(Self::Parameter(vec![text])),
            (None | Some(_), true) => Err(Misfit::new("must not be empty: leave it out instead")),
            (_, false) => Err(Misfit::new("is given more than once")),
        }
    }

    pub(super) fn integer(self, least: i128, most: i128) -> Result<i128, Misfit> {
        let number = match self.single()? {
            Self::Integer(number) => Some(number),
            // Schemas take 31.0 for an integer (JSON Schema 2020-12, 4.2.3).
            Self::Float(number) if number.fract() == 0.0 && number.abs() < EXACT => {
                Some(number as i128)
            }
            Self::Parameter(texts) => texts.first().and_then(|text| text.parse().ok()),
            Self::Null
            | Self::Bool(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Object(_) => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| Misfit::new(whole_number(least, most)))
    }

    pub(super) fn float(self) -> Result<f64, Misfit> {
        let number = match self.single()? {
            // The nearest there is, as JSON has it.
            Self::Integer(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Parameter(texts) => texts.first().and_then(|text| text.parse().ok()),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        };
        number.ok_or_else(|| Misfit::new("must be a number"))
    }

    /// The text, if it is one.
    pub(super) fn text(self) -> Result<Option<String>, Misfit> {
        Ok(match self.single()? {
            Self::Text(text) => Some(text),
            Self::Parameter(texts) => texts.into_iter().next(),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::List(_)
            | Self::Object(_) => None,
        })
    }

    pub(super) fn list(self) -> Result<Vec<Self>, Misfit> {
        match self {
            Self::List(items) => Ok(items),
            Self::Parameter(texts) => Ok(texts
                .into_iter()
                .map(|text| Self::Parameter(vec![text]))
                .collect()),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Object(_) => Err(Misfit::new("must be a list")),
        }
    }

    pub(super) fn object(self) -> Result<Vec<(String, Self)>, Misfit> {
        match self {
            Self::Object(fields) => Ok(fields),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Parameter(_) => Err(Misfit::new("must be an object")),
        }
    }
}
