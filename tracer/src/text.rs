//! Text of spans: some is known at compile time, some is the same for many spans, some is one span's alone.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Text that costs no copy where it is known or shared.
#[derive(Clone)]
pub enum Text {
    /// Known at compile time.
    Static(&'static str),
    /// The same for many: a peer's address, a database's name.
    Shared(Arc<str>),
    /// One span's alone.
    Owned(String),
}

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
            Self::Owned(text) => text,
        }
    }

    /// The text as a string of its own.
    #[must_use]
    pub fn into_string(self) -> String {
        match self {
            Self::Static(text) => text.to_owned(),
            Self::Shared(text) => text.as_ref().to_owned(),
            Self::Owned(text) => text,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Static("")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Owned(text)
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Static(text),
            Cow::Owned(text) => Self::Owned(text),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_equal_however_they_are_kept() {
        let kept = [Text::from("a"), Text::from("a".to_owned()), Text::from(Arc::<str>::from("a"))];
        for text in &kept {
            assert_eq!((text, format!("{text} {text:?}")), (&kept[0], "a \"a\"".to_owned()));
            assert_eq!(text.clone().into_string(), "a");
        }
        assert_ne!(kept[0], Text::default());
    }

    #[test]
    fn attributes_stay_small() {
        // A span has up to eighteen of them in one allocation.
        assert_eq!(size_of::<crate::span::Attribute>(), 48);
    }
}
