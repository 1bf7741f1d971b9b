//! Real captures, from the file to spans: the expected texts beside them were read once, line by line.
//!
//! `UPDATE_EXPECTED=1` writes them anew. `tests/fixtures/captures/make.sh` makes the captures.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tracer::capture::{Capture, FileEnd, WantedEnds};
use tracer::export::Item;
use tracer::pipeline::PipelineConfig;
use tracer::replay::{CaptureReplay, Replay as _};
use tracer::span::Span;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures")
}

/// The spans of a capture, and its counters.
fn told(file: &[u8]) -> String {
    let capture = Capture::open(file, WantedEnds::Auto).unwrap();
    let config = PipelineConfig { wanted: WantedEnds::Auto, ..PipelineConfig::default() };
    let mut replay = CaptureReplay::new(capture, config, None, [7; 32]);
    let end = loop {
        if let Some(end) = replay.step().unwrap() {
            break end;
        }
    };
    assert_eq!(end, FileEnd::Whole);
    replay.finish();
    let mut spans: Vec<(String, Span)> = Vec::new();
    for telemetry in replay.pipeline().drain() {
        let Item::Span(span) = telemetry.item else { panic!("a line of a log") };
        spans.push((telemetry.resource.service_name().to_owned(), *span));
    }
    spans.sort_by_key(|(_, span)| span.start_unix_ns);
    let first = spans.first().map_or(0, |(_, span)| span.start_unix_ns);
    let mut text = String::new();
    for (service, span) in spans {
        show(&mut text, &service, &span, first);
    }
    write!(text, "\n{}", replay.stats()).unwrap();
    text
}

fn show(text: &mut String, service: &str, span: &Span, first: u64) {
    let Span { start_unix_ns, end_unix_ns, description, .. } = span;
    let (start, length) = ((start_unix_ns - first) / 1000, (end_unix_ns - start_unix_ns) / 1000);
    let parent = span.parent.map(|parent| format!(", parent {parent:?}")).unwrap_or_default();
    let (kind, name, status) = (span.kind, &description.name, &description.status);
    writeln!(text, "{kind:?} {name} of {service}: {start} µs + {length} µs, {status:?}{parent}").unwrap();
    for attribute in &description.attributes {
        writeln!(text, "    {} = {:?}", attribute.key, attribute.value).unwrap();
    }
}

#[track_caller]
fn check(name: &str) {
    let told = told(&fs::read(directory().join(name)).unwrap());
    let expected = directory().join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&expected, &told).unwrap();
    }
    let expected = fs::read_to_string(&expected).unwrap();
    for (line, (told, expected)) in told.lines().zip(expected.lines()).enumerate() {
        assert_eq!(told, expected, "{name}.txt:{}: if that is right, UPDATE_EXPECTED=1 writes it", line + 1);
    }
    assert_eq!(told.lines().count(), expected.lines().count());
    assert!(!told.contains("secret"), "a value that must not be told");
}

#[test]
fn ethernet_of_the_loopback_interface_with_http_mariadb_and_redis() {
    check("loopback.pcap");
}

#[test]
fn cooked_packets_of_any_interface() {
    check("any.pcap");
}

#[test]
fn cut_packets() {
    check("cut.pcap");
}

#[test]
fn pcapng() {
    check("web.pcapng");
}
