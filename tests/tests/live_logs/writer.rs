//! `tests/apps/lines.py`, running.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use xtask::process::Process;
use xtask::testbed::RunDirectory;
use xtask::workspace;

const PATIENCE: Duration = Duration::from_secs(60);

/// The program, which waits for [`Writer::go`].
#[derive(Debug)]
pub struct Writer {
    process: Process,
    output: PathBuf,
    go: PathBuf,
}

impl Writer {
    /// Starts it to do `what`, `count` times.
    pub fn start(directory: &RunDirectory, name: &str, what: &str, count: usize) -> Self {
        let go = directory.data(&format!("{name}.go"));
        let mut command = Command::new(workspace::virtualenv().join("bin/python"));
        command.arg(workspace::root().join("tests/apps/lines.py")).args([what, &count.to_string()]).arg(&go);
        let process = Process::start(name, command, directory.logs()).unwrap();
        Self { process, output: directory.logs().join(format!("{name}.out")), go }
    }

    /// The process id, as an argument.
    pub fn pid(&self) -> String {
        self.process.id().to_string()
    }

    /// Lets it begin.
    pub fn go(&self) {
        fs::write(&self.go, "").unwrap();
    }

    /// Lets it write the last third of what it writes in turns.
    pub fn go_on(&self) {
        fs::write(self.go.with_extension("go.on"), "").unwrap();
    }

    /// What it has written so far.
    pub fn output(&self) -> Vec<u8> {
        fs::read(&self.output).unwrap()
    }

    /// Waits until it has written so many bytes.
    pub fn wait_for(&mut self, bytes: usize) {
        let output = self.output.clone();
        let written = || fs::metadata(&output).is_ok_and(|data| data.len() >= bytes as u64);
        self.process.wait_until(PATIENCE, written).unwrap();
    }

    /// Lets it end. Gives all that it wrote.
    pub fn finish(mut self) -> Vec<u8> {
        fs::write(self.go.with_extension("go.end"), "").unwrap();
        let since = std::time::Instant::now();
        while self.process.ended().unwrap().is_none() {
            assert!(since.elapsed() < PATIENCE, "the writer does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.output()
    }
}
