//! Kubernetes label selectors: the grammar of `kubectl -l` and their match against a pod's labels.
//!
//! Source: "Labels and Selectors" of the Kubernetes documentation, and `k8s.io/apimachinery/pkg/labels`:
//!
//! ```text
//! selector    = requirement { "," requirement }
//! requirement = key | "!" key | key ( "=" | "==" | "!=" ) value
//!             | key ( "in" | "notin" ) "(" value { "," value } ")" | key ( ">" | "<" ) integer
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Longest name part of a key, and longest value.
const MAX_NAME: usize = 63;

/// Longest prefix of a key: a DNS subdomain.
const MAX_PREFIX: usize = 253;

/// A selector: all of its requirements must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl Selector {
    /// Whether a pod with these labels is selected. As in Kubernetes, `!=` and `notin` also hold for a pod
    /// without the label.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels.get(&requirement.key)))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Above(bound) => number().is_some_and(|number| number > *bound),
            Test::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// Where a selector stops being one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at character {position}")]
pub struct SelectorError {
    /// Character, counted from 1.
    pub position: usize,
    /// What is wrong there.
    pub problem: SelectorProblem,
}

/// What can be wrong with a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorProblem {
    /// Nothing but blanks: it would mean every pod, which is never meant.
    #[error("the selector is empty")]
    Empty,
    /// Something else was needed.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What would have been right.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// Not a label key.
    #[error(
        "{0:?} is not a label key: letters, digits, '-', '_' and '.', beginning and ending with a letter or \
         digit, at most {MAX_NAME} characters, with an optional DNS prefix and '/'"
    )]
    Key(String),
    /// Not a label value.
    #[error(
        "{0:?} is not a label value: letters, digits, '-', '_' and '.', beginning and ending with a letter or \
         digit, at most {MAX_NAME} characters"
    )]
    Value(String),
    /// `>` and `<` compare integers.
    #[error("{0:?} is not an integer")]
    Integer(String),
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser::new(text);
        if parser.token == Token::End {
            return Err(parser.error(SelectorProblem::Empty));
        }
        let mut requirements = vec![parser.requirement()?];
        loop {
            match parser.token {
                Token::End => return Ok(Self { requirements }),
                Token::Symbol(",") => parser.advance(),
                _ => return Err(parser.unexpected("',' or the end")),
            }
            requirements.push(parser.requirement()?);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Symbol(text) => write!(f, "'{text}'"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Longest first, since the first that fits is taken.
const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

/// One token of look-ahead over the text.
struct Parser<'a> {
    text: &'a str,
    token: Token<'a>,
    /// Byte offsets of the token's start and end.
    start: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut parser = Self { text, token: Token::End, start: 0, end: 0 };
        parser.advance();
        parser
    }

    fn advance(&mut self) {
        let rest = self.text.get(self.end..).unwrap_or_default();
        let word = rest.trim_start_matches(is_blank);
        self.start = self.text.len() - word.len();
        self.token = if word.is_empty() {
            Token::End
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| word.starts_with(symbol)) {
            Token::Symbol(symbol)
        } else {
            let end = word.find(|c| is_blank(c) || "=!(),<>".contains(c)).unwrap_or(word.len());
            Token::Word(word.get(..end).unwrap_or_default())
        };
        self.end = self.start
            + match self.token {
                Token::Word(text) | Token::Symbol(text) => text.len(),
                Token::End => 0,
            };
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.token == Token::Symbol("!") {
            self.advance();
            return Ok(Requirement { key: self.key("a label key after '!'")?, test: Test::Absent });
        }
        let key = self.key("a label key or '!'")?;
        let operator = self.token;
        let test = match operator {
            Token::End | Token::Symbol(",") => return Ok(Requirement { key, test: Test::Exists }),
            Token::Symbol("=" | "==" | "!=") => {
                self.advance();
                let value = self.value()?;
                if operator == Token::Symbol("!=") { Test::NotIn(vec![value]) } else { Test::In(vec![value]) }
            }
            Token::Word("in" | "notin") => {
                self.advance();
                let values = self.values()?;
                if operator == Token::Word("in") { Test::In(values) } else { Test::NotIn(values) }
            }
            Token::Symbol(">" | "<") => {
                self.advance();
                let bound = self.integer()?;
                if operator == Token::Symbol(">") { Test::Above(bound) } else { Test::Below(bound) }
            }
            _ => return Err(self.unexpected("'=', '==', '!=', 'in', 'notin', '>', '<', ',' or the end")),
        };
        Ok(Requirement { key, test })
    }

    fn key(&mut self, expected: &'static str) -> Result<String, SelectorError> {
        let Token::Word(key) = self.token else { return Err(self.unexpected(expected)) };
        if !is_key(key) {
            return Err(self.error(SelectorProblem::Key(key.to_owned())));
        }
        self.advance();
        Ok(key.to_owned())
    }

    /// A value; nothing at all is the empty value.
    fn value(&mut self) -> Result<String, SelectorError> {
        let value = match self.token {
            Token::End | Token::Symbol("," | ")") => return Ok(String::new()),
            Token::Symbol(_) => return Err(self.unexpected("a label value")),
            Token::Word(value) => value,
        };
        if !is_name(value) {
            return Err(self.error(SelectorProblem::Value(value.to_owned())));
        }
        self.advance();
        Ok(value.to_owned())
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        if self.token != Token::Symbol("(") {
            return Err(self.unexpected("'('"));
        }
        self.advance();
        // As in Kubernetes, `()` holds the empty value.
        let mut values = vec![self.value()?];
        loop {
            let token = self.token;
            match token {
                Token::Symbol(")") => {
                    self.advance();
                    return Ok(values);
                }
                Token::Symbol(",") => self.advance(),
                _ => return Err(self.unexpected("',' or ')'")),
            }
            values.push(self.value()?);
        }
    }

    fn integer(&mut self) -> Result<i64, SelectorError> {
        let Token::Word(text) = self.token else { return Err(self.unexpected("an integer")) };
        let number = text.parse().map_err(|_| self.error(SelectorProblem::Integer(text.to_owned())))?;
        self.advance();
        Ok(number)
    }

    fn unexpected(&self, expected: &'static str) -> SelectorError {
        self.error(SelectorProblem::Unexpected { expected, found: self.token.to_string() })
    }

    fn error(&self, problem: SelectorProblem) -> SelectorError {
        let before = self.text.get(..self.start).unwrap_or_default();
        SelectorError { position: before.chars().count() + 1, problem }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

/// A qualified name's name part, or a value that is not empty.
fn is_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let outer = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= MAX_NAME
        && outer(name.bytes().next())
        && outer(name.bytes().last())
        && name.bytes().all(inner)
}

/// RFC 1123 subdomain.
fn is_subdomain(name: &str) -> bool {
    name.len() <= MAX_PREFIX && name.split('.').all(is_label)
}

/// RFC 1123 label, at most 63 characters: the name of a namespace.
#[must_use]
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= MAX_NAME && is_label(name)
}

fn is_label(label: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
