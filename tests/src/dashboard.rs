//! The Grafana dashboard of `deploy/`, and what its queries name.
#![expect(clippy::expect_used, reason = "a file of ours that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use xtask::workspace;

/// A query of a panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The panel's title.
    pub panel: String,
    /// Kind and uid of the data source.
    pub source: (String, String),
    /// The query: TraceQL, LogQL or PromQL.
    pub text: String,
}

/// The dashboard.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn dashboard() -> Value {
    let file = workspace::root().join("deploy/grafana/dashboards/services.json");
    serde_json::from_str(&fs::read_to_string(file).expect("the dashboard")).expect("JSON")
}

/// All queries of all panels.
///
/// # Panics
/// When a panel has none.
#[must_use]
pub fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    let dashboard = dashboard();
    for panel in dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row")
    {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().filter(|targets| !targets.is_empty()).expect("targets");
        for target in targets {
            assert_eq!(target["datasource"], panel["datasource"], "{title}");
            let field = |name: &str| target["datasource"][name].as_str().expect("a data source").to_owned();
            let text = ["query", "expr"].iter().find_map(|name| target[*name].as_str()).expect("a query");
            queries.push(Query {
                panel: title.to_owned(),
                source: (field("type"), field("uid")),
                text: text.to_owned(),
            });
        }
    }
    queries
}

impl Query {
    /// Names in the query that begin like this, up to the first character that no name has; `separator` is what names
    /// are made of besides letters and digits.
    #[must_use]
    pub fn names(&self, prefix: &str, separator: &[char]) -> BTreeSet<String> {
        let part = |character: char| character.is_ascii_alphanumeric() || separator.contains(&character);
        let words = self.text.split(|character| !part(character));
        words
            .filter_map(|word| word.strip_prefix(prefix))
            .filter(|rest| !rest.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The labels in `by (…)` and `{…}`.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<String> {
        let mut labels = BTreeSet::new();
        for (open, close) in [("by (", ')'), ("{", '}')] {
            for rest in self.text.split(open).skip(1) {
                let inside = rest.split(close).next().unwrap_or_default();
                let names = inside
                    .split(',')
                    .map(|part| part.split(['=', '!', '~', '<', '>']).next().unwrap_or_default());
                labels.extend(names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
            }
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_found() {
        let query = Query {
            panel: String::new(),
            source: (String::new(), String::new()),
            text: "sum by (a, b) (rate(tracer_x_total{state=\"y\", c!=\"d\"}[5m])) > span.db.z && resource.q"
                .to_owned(),
        };
        assert_eq!(query.names("tracer_", &['_']), BTreeSet::from(["x_total".to_owned()]));
        assert_eq!(query.names("span.", &['.', '_']), BTreeSet::from(["db.z".to_owned()]));
        assert_eq!(query.labels().into_iter().collect::<Vec<_>>(), ["a", "b", "c", "state"]);
    }
}
