//! The application's output is the same, byte by byte, whatever the tracer does meanwhile.

use tests::live::Tracer;
use xtask::testbed::RunDirectory;

use super::writer::Writer;

/// Steps of a run, and the bytes after which something is done to the tracer: about a third of all.
const STEPS: usize = 400;
const MIDDLE: usize = 400_000;

fn plain(directory: &RunDirectory) -> Vec<u8> {
    let writer = Writer::start(directory, "plain", "same", STEPS);
    writer.go_on();
    writer.go();
    let output = writer.finish();
    assert!(output.len() > 2 * MIDDLE, "{}", output.len());
    output
}

/// The writer's output while a tracer traces it, to which `end` is done in the middle.
fn traced(directory: &RunDirectory, name: &str, end: impl FnOnce(Tracer)) -> Vec<u8> {
    let mut writer = Writer::start(directory, name, "same", STEPS);
    let tracer = Tracer::start(directory, &["--pid", &writer.pid()]);
    writer.go();
    writer.wait_for(MIDDLE);
    end(tracer);
    // The last third is written without a tracer.
    writer.go_on();
    writer.finish()
}

#[test]
fn attached_all_the_time() {
    let directory = RunDirectory::create("bytes-attached").unwrap();
    let expected = plain(&directory);
    let writer = Writer::start(&directory, "traced", "same", STEPS);
    let tracer = Tracer::start(&directory, &["--pid", &writer.pid()]);
    writer.go_on();
    writer.go();
    assert!(writer.finish() == expected, "the output differs");
    let outcome = tracer.stop();
    // 8 steps make 7 records of one and 20 of another.
    assert_eq!(outcome.telemetry.logs.len() as u64 + outcome.lost_in_all(), STEPS as u64 / 8 * 27);
}

#[test]
fn detached_in_the_middle() {
    let directory = RunDirectory::create("bytes-detached").unwrap();
    let expected = plain(&directory);
    let output = traced(&directory, "traced", |tracer| {
        let outcome = tracer.stop();
        assert!(!outcome.telemetry.logs.is_empty(), "it traced");
    });
    assert!(output == expected, "the output differs");
}

#[test]
fn killed_in_the_middle() {
    let directory = RunDirectory::create("bytes-killed").unwrap();
    let expected = plain(&directory);
    assert!(traced(&directory, "traced", Tracer::kill) == expected, "the output differs");
}
