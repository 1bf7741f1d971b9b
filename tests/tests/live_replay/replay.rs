//! `tracer replay`, run as its user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::live::Telemetry;
use xtask::testbed::RunDirectory;

/// What a replay told.
pub struct Replay {
    pub telemetry: Telemetry,
    pub stderr: String,
}

/// Replays a file; `name` names the export.
///
/// # Panics
/// When it fails.
pub fn replay(directory: &RunDirectory, name: &str, file: &Path, arguments: &[&str]) -> Replay {
    let exported = directory.logs().join(format!("{name}.jsonl"));
    let export = format!("file:{}", exported.display());
    let output = run(&[&["--export", &export], arguments, &[file.to_str().unwrap()]].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert!(!stderr.contains("panicked at"), "{stderr}");
    Replay { telemetry: Telemetry::read(&exported), stderr }
}

/// `tracer replay` with these arguments.
pub fn run(arguments: &[&str]) -> Output {
    let program = std::env::var_os("TRACER_BIN").expect("$TRACER_BIN names the tracer's executable");
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.arg("replay").args(arguments).output().unwrap()
}

#[test]
fn what_cannot_be_replayed_is_told_in_a_sentence_and_by_the_exit_code() {
    let directory = RunDirectory::create("replay-refused").unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = directory.logs().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let text = file("text", b"this is no capture");
    let empty = file("empty", b"");
    let mut newer = b"\x89trace\r\n".to_vec();
    newer.extend([9; 18]);
    let newer = file("newer", &newer);
    let missing = directory.logs().join("missing");
    let cases = [
        (&text, "is nothing to replay: neither a recording (tracer run --record) nor a packet capture"),
        (&empty, "is nothing to replay"),
        (&newer, "the recording has version 2313 of the format, and this tracer reads version 1"),
        (&missing, "cannot be read: No such file or directory"),
        (&directory.logs().to_path_buf(), "cannot be read: is a directory"),
    ];
    for (path, sentence) in cases {
        let output = run(&[path.to_str().unwrap()]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(sentence) && stderr.contains(path.to_str().unwrap()), "{stderr}");
        assert_eq!(stderr.trim().lines().count(), 1, "{stderr}");
    }
}
