//! Accounts: what was done, in words, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tests::live::{number, text, value};

/// How often each thing was done; the words are those of `tests/clients/account.py`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// What a client wrote.
    pub fn read(path: &Path) -> Self {
        let written = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(serde_json::from_str(&written).expect("an account"))
    }

    /// What spans tell.
    pub fn of<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Self {
        let mut counts = Self::default();
        for span in spans {
            for (entry, times) in entries(span) {
                counts.add(entry, times);
            }
        }
        counts
    }

    /// Notes that something was done.
    pub fn add(&mut self, entry: impl Into<String>, times: u64) {
        *self.0.entry(entry.into()).or_default() += times;
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (entry, times) in &other.0 {
            self.add(entry.clone(), *times);
        }
        self
    }

    /// How often this was done.
    pub fn get(&self, entry: &str) -> u64 {
        self.0.get(entry).copied().unwrap_or_default()
    }

    /// The commands alone, whatever became of them: a batch tells of one error only.
    #[must_use]
    pub fn commands(&self) -> Self {
        let mut commands = Self::default();
        for (entry, times) in &self.0 {
            commands.add(entry.split(" error=").next().unwrap_or_default(), *times);
        }
        commands
    }

    /// All but this.
    #[must_use]
    pub fn without(mut self, entry: &str) -> Self {
        self.0.remove(entry);
        self
    }

    /// How much was done in all.
    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }

    /// Where `told` differs from what was done, in words; empty where it does not.
    pub fn differences(&self, told: &Self) -> Vec<String> {
        let entries: BTreeSet<&String> = self.0.keys().chain(told.0.keys()).collect();
        let differs = |entry: &&String| self.get(entry) != told.get(entry);
        let say = |entry: &String| format!("{entry}: {} done, {} told", self.get(entry), told.get(entry));
        entries.into_iter().filter(differs).map(say).collect()
    }
}

/// What one span tells. A batch of Redis commands tells each of them.
fn entries(span: &Span) -> Vec<(String, u64)> {
    let attributes = &span.attributes;
    if let Some(status) = number(attributes, "http.response.status_code") {
        let method = text(attributes, "http.request.method").unwrap_or_default();
        return vec![(format!("{method} {status}"), 1)];
    }
    if let Some(Value::ArrayValue(names)) = value(attributes, "redis.batch.commands") {
        let names = names.values.iter().filter_map(|name| match &name.value {
            Some(Value::StringValue(name)) => name.rsplit_once(" x"),
            _ => None,
        });
        return names.map(|(name, times)| (name.to_owned(), times.parse().expect("a count"))).collect();
    }
    let mut entry = span.name.clone();
    if let Some(rows) = number(attributes, "db.response.returned_rows") {
        entry = format!("{entry} rows={rows}");
    }
    if let Some(error) = text(attributes, "error.type") {
        entry = format!("{entry} error={error}");
    }
    vec![(entry, 1)]
}
