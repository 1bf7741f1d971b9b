//! The dashboard and the data sources: they fit each other, and ask for what the agent really sends. (That its metrics
//! are those of a running agent is shown in `live_kubernetes`.)

use std::collections::BTreeSet;
use std::fs;

use tests::dashboard::{dashboard, queries};
use xtask::workspace;

use crate::tools::deploy;

/// Kind by uid of the data sources that are provisioned.
fn provisioned() -> Vec<(String, String)> {
    let file = fs::read_to_string(deploy("grafana/datasources/tracer.yaml")).expect("the data sources");
    let field = |name: &str| {
        let prefix = format!("    {name}: ");
        file.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect::<Vec<_>>()
    };
    field("type").into_iter().zip(field("uid")).collect()
}

#[test]
fn every_panel_has_a_place_an_id_and_a_known_source() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len());
    for (index, panel) in panels.iter().enumerate() {
        let side = |panel: &serde_json::Value, name: &str| panel["gridPos"][name].as_u64().expect("a place");
        assert!(side(panel, "x") + side(panel, "w") <= 24, "{panel}");
        for other in &panels[..index] {
            let apart = |at: &str, length: &str| {
                side(panel, at) >= side(other, at) + side(other, length)
                    || side(other, at) >= side(panel, at) + side(panel, length)
            };
            assert!(apart("x", "w") || apart("y", "h"), "{} lies over {}", panel["title"], other["title"]);
        }
    }
    let sources = provisioned();
    assert_eq!(sources.len(), 3);
    for query in queries() {
        assert!(sources.contains(&query.source), "{query:?}");
        // Loki refuses a selector that matches streams without the label.
        assert!(!query.text.contains(".*"), "{query:?}");
    }
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!((variable["name"].as_str(), variable["query"].as_str()), (Some("service"), Some(".+")));
}

/// Attributes of spans stand in the golden texts of the captures; those of resources in the source of what makes them.
#[test]
fn every_attribute_is_one_that_is_sent() {
    let read = |directory: &str, end: &str| {
        let files = fs::read_dir(workspace::root().join(directory)).expect("a directory");
        let paths = files.map(|file| file.expect("a file").path());
        let of_kind = paths.filter(|path| path.to_string_lossy().ends_with(end));
        of_kind.map(|path| fs::read_to_string(path).expect("text")).collect::<String>()
    };
    let spans = read("tests/fixtures/captures", ".txt");
    let resources = read("tracer/src/enrich", ".rs");
    let mut seen = BTreeSet::new();
    for query in queries().into_iter().filter(|query| query.source.0 == "tempo") {
        for name in query.names("span.", &['.', '_']) {
            assert!(spans.contains(&format!("    {name} = ")), "no span carries {name}: {query:?}");
            seen.insert(name);
        }
        for name in query.names("resource.", &['.', '_']) {
            assert!(resources.contains(&format!("\"{name}\"")), "no resource carries {name}: {query:?}");
            seen.insert(name);
        }
    }
    for name in ["service.name", "db.query.text", "db.query.summary", "db.operation.name"] {
        assert!(seen.contains(name), "the dashboard shows {name}");
    }
    // Loki's names: labels of the resource, fields of the record.
    for query in queries().into_iter().filter(|query| query.source.0 == "loki") {
        assert!(query.text.starts_with("{service_name=~") && query.text.contains("| severity_number >= 17"));
    }
}
