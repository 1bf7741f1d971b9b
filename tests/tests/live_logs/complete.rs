//! Every line that is written as fast as four threads can is exported once, or counted as dropped, with the reason.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tests::live::{Outcome, Tracer};
use xtask::testbed::RunDirectory;

use super::writer::Writer;

const LINES: usize = 100_000;

fn burst(name: &str, arguments: &[&str]) -> (BTreeSet<String>, Outcome) {
    let directory = RunDirectory::create(name).unwrap();
    let mut writer = Writer::start(&directory, "writer", "burst", LINES);
    let pid = writer.pid();
    let tracer = Tracer::start(&directory, &[&["--pid", pid.as_str()], arguments].concat());
    writer.go();
    let per_line = "thread 0 line 0 of a program that writes as fast as it can\n".len();
    writer.wait_for(LINES * per_line);
    let written = String::from_utf8(writer.finish()).unwrap();
    let outcome = tracer.stop();
    let expected: BTreeSet<&str> = written.lines().collect();
    assert_eq!(expected.len(), LINES);
    let mut told = BTreeSet::new();
    for log in &outcome.telemetry.logs {
        let Some(Value::StringValue(body)) = log.item.body.clone().unwrap().value else { panic!("{log:?}") };
        assert!(expected.contains(body.as_str()), "nobody wrote {body}");
        assert!(told.insert(body.clone()), "{body} was told twice");
    }
    println!("{name}: {} of {LINES} lines told\n{}", told.len(), outcome.summary());
    (told, outcome)
}

/// Lines that the probe could not hand on: each is one event. A lost control event is no line.
fn lost_lines(outcome: &Outcome) -> u64 {
    let lost = outcome.lost_in_kernel();
    lost.iter().filter(|(reason, _)| *reason != "ring_full_control").map(|(_, count)| count).sum()
}

#[test]
fn at_full_speed() {
    let (told, outcome) = burst("lines-burst", &[]);
    // Each of these lines is one event of the probe.
    let dropped = lost_lines(&outcome) + outcome.lines_over_the_rate() + outcome.logs_lost_in_export();
    assert_eq!(told.len() as u64 + dropped, LINES as u64);
}

#[test]
fn beyond_the_rate() {
    let (told, outcome) = burst("lines-rate", &["--log-rate-limit", "1000"]);
    assert!(told.len() < LINES / 2, "{}", told.len());
    let dropped = lost_lines(&outcome) + outcome.lines_over_the_rate() + outcome.logs_lost_in_export();
    assert_eq!(told.len() as u64 + dropped, LINES as u64);
}
