//! Recordings.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use tests::live::{Telemetry, Tracer, text};
use xtask::testbed::{Backend, BackendOptions, Testbed};

use super::replay::replay;
use super::traffic;

/// How long the tracer may take to tell of what happened.
const PATIENCE: Duration = Duration::from_secs(20);

/// A backend under a tracer that records.
struct Stage {
    testbed: Testbed,
    backend: Backend,
    tracer: Tracer,
    recording: PathBuf,
}

impl Stage {
    fn new(name: &str, arguments: &[&str]) -> Self {
        let testbed = Testbed::start(name).unwrap();
        let options = BackendOptions {
            arguments: vec!["--access-logfile".into(), "-".into()],
            ..BackendOptions::default()
        };
        let backend = testbed.backend(&options).unwrap();
        let recording = testbed.logs().join("run.recording");
        let mut all = vec!["--record".to_owned(), recording.to_str().unwrap().to_owned()];
        // The database is one of the targets, so that both ends of a connection are.
        for target in [backend.id(), testbed.mariadb.id()] {
            all.extend(["--pid".to_owned(), target.to_string()]);
        }
        all.extend(arguments.iter().map(ToString::to_string));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let tracer = Tracer::start(testbed.directory(), &all);
        Self { testbed, backend, tracer, recording }
    }

    /// Waits until so many requests were told.
    fn wait_for(&self, requests: usize) {
        let is_request = |span: &&Span| text(&span.attributes, "http.request.method").is_some();
        let told = |telemetry: &Telemetry| telemetry.servers().filter(is_request).count() >= requests;
        assert!(self.tracer.wait_until(told, PATIENCE), "{}", self.tracer.stderr());
    }
}

#[test]
fn a_recording_tells_the_same_spans_and_lines_as_the_run_did() {
    let stage = Stage::new("replay-recorded", &["--service-name", "jiwoo-backend"]);
    traffic::send(&stage.backend);
    stage.wait_for(traffic::TOTAL);
    let Stage { testbed, tracer, recording, .. } = stage;
    let outcome = tracer.stop();
    assert_eq!(fs::metadata(&recording).unwrap().permissions().mode() & 0o777, 0o600);
    let replayed = replay(testbed.directory(), "replayed", &recording, &[]);
    let (live, again) = (Told::of(&outcome.telemetry), Told::of(&replayed.telemetry));
    assert_eq!(live.spans.len(), outcome.telemetry.spans.len());
    assert!(
        live.spans.len() >= 3 * traffic::TOTAL && live.logs.len() >= traffic::TOTAL,
        "too little happened"
    );
    assert!(live.spans.iter().any(|span| span.contains("parent: the ")), "there are no trees");
    assert_same(&live.spans, &again.spans);
    assert_same(&live.logs, &again.logs);
    let lost = outcome.stderr.lines().find_map(|line| line.split_once("lost in the kernel: ")).unwrap().1;
    let told = format!("when it was recorded, lost in the kernel: {lost}");
    assert!(replayed.stderr.contains(&told), "{}", replayed.stderr);
    assert!(!replayed.stderr.contains("WARN"), "{}", replayed.stderr);
}

/// Everything that telemetry tells, ids aside, in an order of its own.
struct Told {
    spans: Vec<String>,
    logs: Vec<String>,
}

impl Told {
    fn of(telemetry: &Telemetry) -> Self {
        let names: BTreeMap<&[u8], String> =
            telemetry.spans.iter().map(|span| (&span.item.span_id[..], name(&span.item))).collect();
        // A trace is named after its first span, so that what belongs together is compared too.
        let mut traces: BTreeMap<&[u8], String> = BTreeMap::new();
        for span in &telemetry.spans {
            let first = traces.entry(&span.item.trace_id[..]).or_insert_with(|| name(&span.item));
            *first = name(&span.item).min(std::mem::take(first));
        }
        let span_of = |id: &[u8]| match names.get(id) {
            Some(name) => format!("the {name}"),
            None => format!("{id:?}"),
        };
        let of_trace = |id: &[u8]| traces.get(id).cloned().unwrap_or_else(|| format!("{id:?}"));
        let span = |of: &Span| {
            let bare = Span { trace_id: vec![], span_id: vec![], parent_span_id: vec![], ..of.clone() };
            let (parent, trace) = (span_of(&of.parent_span_id), of_trace(&of.trace_id));
            format!("parent: {parent}, trace of {trace}: {bare:?}")
        };
        let log = |of: &LogRecord| {
            let bare = LogRecord { trace_id: vec![], span_id: vec![], ..of.clone() };
            format!("of: {}, trace of {}: {bare:?}", span_of(&of.span_id), of_trace(&of.trace_id))
        };
        let resource = |of: &dyn std::fmt::Debug| format!("{of:?}");
        let mut spans: Vec<String> = telemetry
            .spans
            .iter()
            .map(|told| format!("{} {} {:?}", span(&told.item), resource(&told.resource), told.scope))
            .collect();
        let mut logs: Vec<String> = telemetry
            .logs
            .iter()
            .map(|told| format!("{} {} {:?}", log(&told.item), resource(&told.resource), told.scope))
            .collect();
        spans.sort();
        logs.sort();
        Self { spans, logs }
    }
}

/// No two spans begin in one nanosecond with one name, unless they are the same in everything that counts here.
fn name(span: &Span) -> String {
    format!("{} {}", span.start_time_unix_nano, span.name)
}

#[track_caller]
fn assert_same(live: &[String], again: &[String]) {
    for (one, other) in live.iter().zip(again) {
        assert_eq!(one, other);
    }
    assert_eq!(live.len(), again.len());
}

#[test]
fn the_recording_of_a_killed_tracer_is_replayed_up_to_its_last_whole_entry() {
    let stage = Stage::new("replay-killed", &[]);
    traffic::send(&stage.backend);
    stage.wait_for(traffic::TOTAL);
    let Stage { testbed, tracer, recording, .. } = stage;
    let before = tracer.telemetry();
    tracer.kill();
    let whole = replay(testbed.directory(), "killed", &recording, &[]);
    // The last moments were still in a buffer.
    assert!(whole.telemetry.spans.len() * 10 >= before.spans.len() * 9, "{}", whole.stderr);
    assert!(whole.stderr.contains("WARN the recording "), "{}", whole.stderr);
    // Cut anywhere.
    let bytes = fs::read(&recording).unwrap();
    let cut = testbed.logs().join("cut.recording");
    let mut last = 0;
    for part in 1..8 {
        fs::write(&cut, &bytes[..bytes.len() * part / 8 + 1]).unwrap();
        let part = replay(testbed.directory(), &format!("cut{part}"), &cut, &[]);
        assert!(part.stderr.contains("up to its last whole entry") || part.stderr.contains("has no end"));
        assert!(part.telemetry.spans.len() >= last, "{}", part.stderr);
        last = part.telemetry.spans.len();
    }
    assert!(last > 0);
}

#[test]
fn a_recording_ends_at_its_largest_size_and_the_run_does_not() {
    const MAX: u64 = 100 << 10;
    let stage = Stage::new("replay-max", &["--record-max", "100K"]);
    traffic::send(&stage.backend);
    stage.wait_for(traffic::TOTAL);
    let Stage { testbed, tracer, recording, .. } = stage;
    let outcome = tracer.stop();
    let warning = "has its largest size (--record-max): it ends, and tracing goes on";
    assert_eq!(outcome.stderr.matches(warning).count(), 1, "{}", outcome.stderr);
    let size = fs::metadata(&recording).unwrap().len();
    assert!(size <= MAX && size > MAX * 3 / 4, "{size}");
    let replayed = replay(testbed.directory(), "max", &recording, &[]);
    let (some, all) = (replayed.telemetry.spans.len(), outcome.telemetry.spans.len());
    assert!(some > 0 && some < all, "{some} of {all}");
    assert!(replayed.stderr.contains("the recording ends where it had its largest size"));
}
