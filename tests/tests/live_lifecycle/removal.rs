//! Nothing of ours stays in the kernel, and the application does not notice that we come and go.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::live::{Tracer, TracerOptions};
use xtask::testbed::{BackendOptions, Testbed};
use xtask::workspace;

use super::traffic::{self, Traffic};

/// Requests that are answered in each phase.
const REQUESTS: u64 = 100;

/// How long the kernel may take to free what nobody refers to any more: it waits for a grace period.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn sigterm_leaves_nothing_in_the_kernel_and_fails_no_request() {
    come_and_go("sigterm", |tracer| {
        let outcome = tracer.stop();
        assert!(outcome.telemetry.servers().count() as u64 >= REQUESTS, "the tracer traced");
    });
}

#[test]
fn sigkill_leaves_nothing_in_the_kernel_and_fails_no_request() {
    come_and_go("sigkill", Tracer::kill);
}

fn come_and_go(name: &str, end: fn(Tracer)) {
    let testbed = Testbed::start(name).unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let traffic = Traffic::start(&backend);
    traffic.wait_for(REQUESTS);
    let tracer = Tracer::start(testbed.directory(), &["--pid", &backend.id().to_string()]);
    traffic.wait_for(REQUESTS);
    let objects = Objects::of(tracer.id());
    assert!(!objects.programs.is_empty() && !objects.maps.is_empty(), "{objects:?}");
    assert_eq!(objects.loaded(), objects, "bpftool sees what the tracer holds");
    traffic.wait_for(REQUESTS);
    end(tracer);
    traffic.wait_for(REQUESTS);
    let since = Instant::now();
    while !objects.loaded().is_empty() && since.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
    }
    let left = objects.loaded();
    assert!(left.is_empty(), "still loaded: {left:?}");
    let (programs, maps) = (objects.programs.len(), objects.maps.len());
    let answered = traffic.stop();
    println!("{name}: {programs} programs and {maps} maps are gone; {answered} requests, none failed");
}

#[test]
fn perf_event_open_is_never_called() {
    let testbed = Testbed::start("strace").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let calls = testbed.logs().join("calls.strace");
    let strace = workspace::program("strace").unwrap();
    let wrapper = vec![
        strace.into_os_string(),
        "-f".into(),
        "-e".into(),
        "trace=perf_event_open,bpf".into(),
        "-o".into(),
        calls.clone().into_os_string(),
    ];
    let arguments = vec!["--pid".to_owned(), backend.id().to_string()];
    let options = TracerOptions { arguments, wrapper, ..TracerOptions::default() };
    let tracer = Tracer::start_with(testbed.directory(), options);
    traffic::each_once(&backend, "strace");
    let outcome = tracer.stop();
    assert!(outcome.telemetry.servers().count() > 0, "the tracer traced");
    let calls = fs::read_to_string(calls).unwrap();
    let count = |call: &str| calls.lines().filter(|line| line.contains(call)).count();
    println!("strace: {} calls of bpf(), {} of perf_event_open()", count(" bpf("), count("perf_event_open("));
    assert!(count(" bpf(BPF_PROG_LOAD") > 0, "strace saw the probe being loaded");
    assert_eq!(count("perf_event_open("), 0);
}

/// Ids of programs and maps in the kernel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Objects {
    programs: BTreeSet<u64>,
    maps: BTreeSet<u64>,
}

impl Objects {
    /// Those that a process holds by a file descriptor, and the maps of its programs (of which it may have closed
    /// the descriptors). Other tracers may run beside this one: a comparison with before would see theirs.
    fn of(process: u32) -> Self {
        let mut objects = Self::default();
        for entry in fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap() {
            // A descriptor may be closed at this moment.
            let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            // A link tells the program's id too.
            objects.programs.extend(id(&text, "prog_id:"));
            objects.maps.extend(id(&text, "map_id:"));
        }
        for program in show("prog") {
            if program["id"].as_u64().is_some_and(|id| objects.programs.contains(&id)) {
                let maps = program["map_ids"].as_array().into_iter().flatten();
                objects.maps.extend(maps.filter_map(Value::as_u64));
            }
        }
        objects
    }

    /// Which of them are in the kernel now.
    fn loaded(&self) -> Self {
        let ids = |kind| show(kind).into_iter().filter_map(|object| object["id"].as_u64()).collect();
        let (programs, maps): (BTreeSet<u64>, BTreeSet<u64>) = (ids("prog"), ids("map"));
        Self { programs: &self.programs & &programs, maps: &self.maps & &maps }
    }

    fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.maps.is_empty()
    }
}

fn id(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().parse().ok()
}

/// All objects of a kind in the kernel.
fn show(kind: &str) -> Vec<Value> {
    let bpftool = workspace::program("bpftool").unwrap();
    // An object that goes while it looks makes it fail.
    for _ in 0..20 {
        let output = Command::new(&bpftool).args(["--json", kind, "show"]).output().unwrap();
        if let (true, Ok(objects)) = (output.status.success(), serde_json::from_slice(&output.stdout)) {
            return objects;
        }
    }
    panic!("`bpftool {kind} show` does not work");
}
