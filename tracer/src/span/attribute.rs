//! Attributes of spans, log records and resources.

use std::borrow::Cow;
use std::sync::Arc;

use crate::text::Text;

/// A name and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The attribute's name, as in the semantic conventions.
    pub key: Cow<'static, str>,
    /// Its value.
    pub value: Value,
}

impl Attribute {
    /// An attribute with a name that is known at compile time.
    #[must_use]
    pub fn new(key: &'static str, value: impl Into<Value>) -> Self {
        Self { key: Cow::Borrowed(key), value: value.into() }
    }
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Str(Text),
    /// Number.
    Int(i64),
    /// Number with a fraction.
    Double(f64),
    /// Truth value.
    Bool(bool),
    /// Several texts.
    Strs(Box<[String]>),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Str(Text::Static(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(Text::Owned(text))
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Str(text.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Str(Text::Shared(text))
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Strs(texts.into())
    }
}
