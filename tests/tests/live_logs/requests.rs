//! A line belongs to the request that its thread worked on when it was written, and to no other.

use std::collections::BTreeMap;
use std::thread;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tests::live::{Tracer, text};
use xtask::testbed::{BackendOptions, Testbed};

const REQUESTS: usize = 40;
const CLIENTS: usize = 4;

fn body(log: &LogRecord) -> &str {
    match log.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(body)) => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn before_between_and_after_the_statements_and_in_the_background() {
    let testbed = Testbed::start("lines-requests").unwrap();
    let environment = vec![("BACKGROUND_LINES".to_owned(), "1".to_owned())];
    let backend = testbed.backend(&BackendOptions { environment, ..BackendOptions::default() }).unwrap();
    let tracer = Tracer::start(testbed.directory(), &["--pid", &backend.id().to_string()]);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let backend = &backend;
            scope.spawn(move || {
                for number in 0..REQUESTS / CLIENTS {
                    let answer = backend.get(&format!("/api/chatty?request_id=r{client}-{number}"));
                    assert_eq!(answer.unwrap().status, 200);
                }
            });
        }
    });
    let outcome = tracer.stop();
    assert_eq!(outcome.lost_in_all(), 0);
    let mut lines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for span in outcome.telemetry.servers() {
        let query = text(&span.attributes, "url.query").unwrap();
        let id = query.strip_prefix("request_id=").unwrap();
        for log in outcome.telemetry.lines(span) {
            let line = body(log);
            assert!(line.contains(&format!("request_id={id}\"")), "{line} under {id}");
            lines.entry(id.to_owned()).or_default().push(text(&log.attributes, "message").unwrap());
        }
    }
    assert_eq!(lines.len(), REQUESTS);
    for (id, lines) in lines {
        let expected = ["before", "between", "after"].map(|word| format!("{word} request_id={id}"));
        assert_eq!(lines, expected, "{id}");
    }
    let background = outcome.telemetry.logs.iter().filter(|log| body(&log.item).contains("background "));
    let background: Vec<_> = background.collect();
    assert!(!background.is_empty());
    for log in &background {
        assert!(log.item.trace_id.is_empty() && log.item.span_id.is_empty(), "{log:?}");
    }
    println!("{} lines in the background, none with ids", background.len());
}
