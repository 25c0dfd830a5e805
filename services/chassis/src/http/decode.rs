//! Reads JSON and query strings into types, and says in plain words what does not fit and where.
//!
//! A deserializer of our own for three reasons. An object is an object: serde's derived code also takes a list of the
//! fields in their order. What is wrong is said in the words of JSON, not of Rust. And a query parameter that is given
//! without a value is refused, whatever its type: whoever leaves out a value by mistake must not get everything.

use std::fmt::{self, Display};

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use url::form_urlencoded;

use super::problem::FieldError;

/// Why a text could not be read into a type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON, for this reason.
    #[error("this is no JSON: {0}")]
    Syntax(String),
    /// It is JSON, and this part of it is not what is asked for.
    #[error("{} {}", if .0.pointer.is_empty() { "this" } else { &.0.pointer }, .0.detail)]
    Field(FieldError),
}

/// Reads a JSON document.
///
/// # Errors
/// When it is no JSON, or not the JSON that `T` is read from.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.trim_ascii().is_empty() {
        return Err(DecodeError::Syntax("it is empty".to_owned()));
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| DecodeError::Syntax(e.to_string()))?;
    T::deserialize(value).map_err(|misfit| DecodeError::Field(misfit.into()))
}

/// Reads a JSON value that was parsed before.
///
/// # Errors
/// When it is not the JSON that `T` is read from.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, DecodeError> {
    let value = Value::deserialize(value)
        .map_err(|e: serde_json::Error| DecodeError::Syntax(e.to_string()))?;
    T::deserialize(value).map_err(|misfit| DecodeError::Field(misfit.into()))
}

/// Reads a query string. A parameter may be repeated where `T` has a list.
pub(super) fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, FieldError> {
    let mut parameters: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value.into_owned()),
            None => parameters.push((name.into_owned(), vec![value.into_owned()])),
        }
    }
    let parameters = parameters
        .into_iter()
        .map(|(name, values)| (name, Value::Parameter(values)))
        .collect();
    T::deserialize(Value::Object(parameters)).map_err(FieldError::from)
}

/// A JSON value, or the values of one query parameter.
#[derive(Debug, Clone, PartialEq)]
enum Value {
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

/// What does not fit, and the way to it, innermost step first.
#[derive(Debug)]
struct Misfit {
    way: Vec<Step>,
    detail: String,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Item(usize),
}

impl Misfit {
    fn new(detail: impl Display) -> Self {
        Self {
            way: vec![],
            detail: detail.to_string(),
        }
    }

    fn at(mut self, step: Step) -> Self {
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
fn must_be(expected: &str) -> String {
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

fn one_of(words: &[&str]) -> String {
    format!("must be one of {}", words.join(", "))
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
    fn single(self) -> Result<Self, Misfit> {
        let Self::Parameter(mut texts) = self else {
            return Ok(self);
        };
        match (texts.pop(), texts.is_empty()) {
            (Some(text), true) if !text.is_empty() => Ok(Self::Parameter(vec![text])),
            (None | Some(_), true) => Err(Misfit::new("must not be empty: leave it out instead")),
            (_, false) => Err(Misfit::new("is given more than once")),
        }
    }

    fn integer(self, least: i128, most: i128) -> Result<i128, Misfit> {
        let number = match self.single()? {
            Self::Integer(number) => Some(number),
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

    fn float(self) -> Result<f64, Misfit> {
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
    fn text(self) -> Result<Option<String>, Misfit> {
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

    fn list(self) -> Result<Vec<Self>, Misfit> {
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

    fn object(self) -> Result<Vec<(String, Self)>, Misfit> {
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

/// Bounds are told where they mean something to people, which those of 64 bits do not.
fn whole_number(least: i128, most: i128) -> String {
    if most > i128::from(u32::MAX) {
        "must be a whole number".to_owned()
    } else {
        format!("must be a whole number from {least} to {most}")
    }
}

/// Whole numbers of each width; the bounds are those of the type.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            let (least, most) = (i128::from(<$type>::MIN), i128::from(<$type>::MAX));
            let number = self.integer(least, most)?;
            // It lies within the bounds of the type.
            visitor.$visit(number as $type)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.single()? {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Integer(number) => match (i64::try_from(number), u64::try_from(number)) {
                (Ok(number), _) => visitor.visit_i64(number),
                (Err(_), Ok(number)) => visitor.visit_u64(number),
                (Err(_), Err(_)) => Err(Misfit::new("must be a smaller number")),
            },
            Self::Float(number) => visitor.visit_f64(number),
            Self::Text(text) => visitor.visit_string(text),
            Self::List(items) => visitor.visit_seq(Items::of(items)),
            Self::Object(fields) => visitor.visit_map(Fields::of(fields)),
            Self::Parameter(texts) => visitor.visit_string(texts.concat()),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let word = match self.single()? {
            Self::Bool(value) => return visitor.visit_bool(value),
            Self::Parameter(texts) => texts.concat(),
            Self::Null
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Object(_) => String::new(),
        };
        match word.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Misfit::new("must be true or false")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        // What a library's type says of a text that it cannot read is written for programmers.
        let sentence = must_be(&(&visitor as &dyn Expected).to_string());
        match self.text()? {
            Some(text) => visitor
                .visit_string(text)
                .map_err(|_: Misfit| Misfit::new(sentence)),
            None => Err(Misfit::new("must be a text")),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.text()? {
            Some(text) => visitor.visit_string(text),
            None => Err(Misfit::new("must be a text")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Self::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_seq(Items::of(self.list()?))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_map(Fields::of(self.object()?))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.text()? {
            Some(word) if variants.contains(&word.as_str()) => visitor.visit_enum(Word(word)),
            Some(_) | None => Err(Misfit::new(one_of(variants))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple_struct }
}

/// The items of a list that are still to be read.
struct Items(std::iter::Enumerate<std::vec::IntoIter<Value>>);

impl Items {
    fn of(items: Vec<Value>) -> Self {
        Self(items.into_iter().enumerate())
    }
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let Some((index, item)) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(item)
            .map(Some)
            .map_err(|misfit| misfit.at(Step::Item(index)))
    }
}

/// The fields of an object that are still to be read.
struct Fields {
    rest: std::vec::IntoIter<(String, Value)>,
    current: Option<(String, Value)>,
}

impl Fields {
    fn of(fields: Vec<(String, Value)>) -> Self {
        Self {
            rest: fields.into_iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        self.current = self.rest.next();
        let Some((name, _)) = &self.current else {
            return Ok(None);
        };
        seed.deserialize(Value::Text(name.clone())).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some((name, value)) = self.current.take() else {
            return Err(Misfit::new("has a name and no value"));
        };
        seed.deserialize(value)
            .map_err(|misfit| misfit.at(Step::Field(name)))
    }
}

/// One of the words of an enum. Variants that hold something are not read: no body has one.
struct Word(String);

impl<'de> EnumAccess<'de> for Word {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Misfit> {
        let word = seed.deserialize(Value::Text(self.0.clone()))?;
        Ok((word, self))
    }
}

impl<'de> VariantAccess<'de> for Word {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Misfit> {
        Err(Misfit::new("must be an object"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::new("must be an object"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Misfit> {
        Err(Misfit::new("must be an object"))
    }
}

#[cfg(test)]
mod tests;
