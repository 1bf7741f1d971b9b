//! What is written is read, and what is not whole is read as far as it is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use proptest::prelude::*;
use tracer_ebpf::{Header, ProcessEvent, ProcessNote};

use super::entry::LogFile;
use super::*;
use crate::enrich::Resource;
use crate::event::Process;
use crate::pipeline::{Environment, Exports};
use crate::span::{Attribute, LogStream, Value};

fn resource() -> Resource {
    let attributes = vec![
        Attribute::new("service.name", "a \"b\" ä\u{0}"),
        Attribute::new("number", -7_i64),
        Attribute { key: "fraction".into(), value: Value::Double(1.0) },
        Attribute::new("truth", true),
        Attribute::new("texts", vec!["x".to_owned(), String::new()]),
    ];
    Resource { attributes }
}

fn entries() -> Vec<Entry<'static>> {
    let process = Process { tgid: 1, start: u64::MAX, cgroup: 3 };
    let file = LogFile { tgid: 1, device: 2, ino: u64::MAX, fd: 4 };
    vec![
        Entry::WallOffset(-5),
        Entry::Resource { number: 9, resource: resource() },
        Entry::Process { process, resource: 9, exports: Exports { spans: false, logs: true } },
        Entry::Record(b"record"),
        Entry::Log { file, stream: None },
        Entry::Log { file, stream: Some(LogStream::Stdout) },
        Entry::Log { file, stream: Some(LogStream::Stderr) },
        Entry::Record(b""),
        Entry::Tick(77),
        Entry::Finish(78),
        Entry::Losses(vec![("ring_full".to_owned(), 3)]),
        Entry::Forget { now: 5, count: 6 },
        Entry::Full,
    ]
}

fn bytes(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = header::header();
    entries.iter().for_each(|entry| entry.write(&mut bytes));
    bytes
}

/// Number of entries, and the end; each entry must be the one that was written.
fn read(bytes: &[u8]) -> (usize, RecordingEnd) {
    let mut reader = Entries::open(bytes).unwrap().unwrap();
    let expected = entries();
    for count in 0.. {
        match reader.next_entry().unwrap() {
            Ok(entry) => assert_eq!(Some(&entry), expected.get(count)),
            Err(end) => return (count, end),
        }
    }
    unreachable!()
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tracer-{}-{name}", std::process::id()))
}

#[test]
fn entries_are_read_as_they_were_written() {
    assert_eq!(read(&bytes(&entries())), (entries().len(), RecordingEnd::Whole));
}

#[test]
fn a_recording_that_was_cut_is_read_up_to_its_last_whole_entry() {
    let whole = bytes(&entries());
    let ends: Vec<usize> = (0..=entries().len()).map(|count| bytes(&entries()[..count]).len()).collect();
    for end in ends[0]..whole.len() {
        let (count, how) = read(&whole[..end]);
        assert_eq!(count, ends.iter().filter(|at| **at <= end).count() - 1);
        assert_eq!(how == RecordingEnd::Whole, ends.contains(&end), "{end}");
    }
}

#[test]
fn other_versions_are_refused_in_a_sentence() {
    let refused = |at: usize, value: u8| {
        let mut bytes = bytes(&[]);
        bytes[at] = value;
        Entries::open(&bytes[..]).unwrap().unwrap_err().to_string()
    };
    assert!(refused(8, 77).starts_with("the recording has version 77 of the format"));
    assert!(refused(12, 78).contains("(version 78) that is not this tracer's"));
    // The header of events grew, and nobody changed the version.
    assert!(refused(16, 99).contains("that is not this tracer's"));
    let order = 10 + usize::from(cfg!(target_endian = "big"));
    assert!(refused(order, 0).contains("the other byte order"));
    for end in MAGIC.len()..header::LENGTH {
        assert_eq!(Entries::open(&bytes(&[])[..end]).unwrap().unwrap_err(), RecordingError::Cut);
    }
}

#[test]
fn damage_ends_a_recording() {
    for frame in [[99, 0, 0, 0, 0], [3, 7, 0, 0, 0], [1, 255, 255, 255, 255], [9, 1, 0, 0, 0]] {
        let damaged = [bytes(&entries()[..1]), frame.to_vec(), vec![0; 9]].concat();
        assert_eq!(read(&damaged), (1, RecordingEnd::Damaged));
    }
}

/// A record of the ring: the event in it has 60 bytes.
fn ring_record() -> Vec<u8> {
    let mut record = vec![7; 100];
    record[4..8].copy_from_slice(&60_u32.to_ne_bytes());
    record
}

#[test]
fn the_file_is_for_its_owner_only_and_holds_no_slack() {
    let path = path("mode");
    std::fs::write(&path, "somebody else's").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let recorder = Recorder::create(&path, None).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    recorder.record(&ring_record());
    recorder.tick(5);
    recorder.finish(&[("ring_full", 2)]);
    recorder.tick(6);
    let written = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let losses = Entry::Losses(vec![("ring_full".to_owned(), 2)]);
    assert_eq!(written, bytes(&[Entry::Record(&ring_record()[..60]), Entry::Tick(5), losses]));
}

#[test]
fn a_recording_never_exceeds_its_largest_size_and_says_so() {
    let path = path("max");
    for max in 80..400 {
        let recorder = Recorder::create(&path, Some(max)).unwrap();
        (0..10).for_each(|_| recorder.record(&ring_record()));
        recorder.finish(&[]);
        let written = std::fs::read(&path).unwrap();
        assert!(written.len() as u64 <= max, "{max}");
        let whole = (max as usize - header::LENGTH - 5) / 65;
        let mut expected: Vec<Entry<'_>> = Vec::new();
        let record = ring_record();
        expected.extend(std::iter::repeat_n(Entry::Record(&record[..60]), whole));
        expected.push(Entry::Full);
        assert_eq!(written, bytes(&expected), "{max}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn ticks_are_few_when_nothing_happens() {
    let path = path("ticks");
    let recorder = Recorder::create(&path, None).unwrap();
    recorder.record(&ring_record());
    const MILLISECOND: u64 = 1_000_000;
    // A minute.
    (0..2400).for_each(|tick| recorder.tick(tick * 25 * MILLISECOND));
    recorder.finish(&[]);
    let written = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut entries = Entries::open(&written[..]).unwrap().unwrap();
    let mut ticks = 0;
    while let Ok(entry) = entries.next_entry().unwrap() {
        ticks += usize::from(matches!(entry, Entry::Tick(_)));
    }
    // 25 ms apart up to 10 s after the event, then a second.
    assert_eq!(ticks, 401 + 49);
}

#[test]
fn what_cannot_be_written_is_told() {
    let error = Recorder::create(&PathBuf::from("/proc/none/x"), None).unwrap_err();
    assert_eq!(error.to_string(), "the recording /proc/none/x cannot be written");
}

/// Answers by the process id: each process has its own resource, all exports of even ones.
#[derive(Default)]
struct World {
    shared: Vec<std::sync::Arc<Resource>>,
    answered: u32,
}

impl Environment for World {
    fn resource(&mut self, process: Process) -> std::sync::Arc<Resource> {
        self.answered += 1;
        let at = process.tgid as usize % self.shared.len();
        std::sync::Arc::clone(&self.shared[at])
    }

    fn exports(&mut self, process: Process) -> Exports {
        Exports { spans: process.tgid.is_multiple_of(2), logs: true }
    }

    fn log_stream(&mut self, _: u32, _: u32, ino: u64, _: u32) -> Option<LogStream> {
        ino.is_multiple_of(2).then_some(LogStream::Stderr)
    }

    fn on_process(&mut self, _: ProcessNote, _: &ProcessEvent) {}
}

#[test]
fn a_replay_answers_what_was_answered() {
    let path = path("answers");
    let recorder = Recorder::create(&path, None).unwrap();
    let shared = (0..50_i64).map(|number| Resource { attributes: vec![Attribute::new("n", number)] });
    let world = World { shared: shared.map(std::sync::Arc::new).collect(), answered: 0 };
    let mut recorded = Recorded::new(world, recorder.clone());
    // More processes than are remembered, some of them again and again.
    let asked: Vec<u32> = (0..20_000).flat_map(|tgid| [tgid, tgid % 7]).collect();
    let question = |tgid| Process { tgid, start: 1, cgroup: 2 };
    let mut answers = Vec::new();
    for tgid in &asked {
        let stream = recorded.log_stream(*tgid, 1, u64::from(*tgid / 3), 1);
        answers.push((recorded.resource(question(*tgid)), recorded.exports(question(*tgid)), stream));
        recorder.record(&ring_record());
    }
    recorder.finish(&[]);
    let written = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut replayed = Replayed::default();
    let mut entries = Entries::open(&written[..]).unwrap().unwrap();
    let (mut at, mut told) = (0, 0);
    while let Ok(entry) = entries.next_entry().unwrap() {
        told += 1;
        if replayed.learn(&entry) || !matches!(entry, Entry::Record(_)) {
            continue;
        }
        let tgid = asked[at];
        let stream = replayed.log_stream(tgid, 1, u64::from(tgid / 3), 1);
        assert_eq!(
            (replayed.resource(question(tgid)), replayed.exports(question(tgid)), stream),
            answers[at]
        );
        at += 1;
    }
    assert_eq!(at, asked.len());
    // Not one entry a question: only what is new.
    assert!(told < 2 * asked.len() + 20_000, "{told}");
}

#[test]
fn a_process_that_was_never_told_is_unknown() {
    let mut replayed = Replayed::default();
    let process = Process::from(&Header::default());
    assert_eq!(replayed.resource(process).service_name(), "unknown_service");
    assert_eq!(replayed.exports(process), Exports::ALL);
    assert_eq!(replayed.log_stream(1, 2, 3, 4), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let recording = [header::header(), bytes.clone()].concat();
        for file in [&recording, &bytes] {
            if let Ok(mut entries) = Entries::open(&file[..]).unwrap() {
                let replayed = Replayed::default();
                while let Ok(entry) = entries.next_entry().unwrap() {
                    replayed.learn(&entry);
                }
            }
        }
    }
}
