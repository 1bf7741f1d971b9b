//! The tracer's process.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use xtask::process::Process;
use xtask::testbed::RunDirectory;

use super::{Outcome, Telemetry};

/// How long attaching may take: the verifier is slow on some kernels.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How long the tracer may take to export what is left when it is asked to end.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// How often an export is looked at while something is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How the tracer is run, where it matters.
#[derive(Clone, Debug)]
pub struct TracerOptions {
    /// Names its files; two tracers of one directory need different names.
    pub name: String,
    /// What follows `tracer run`: targets and more.
    pub arguments: Vec<String>,
    /// Further environment, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub environment: Vec<(String, String)>,
    /// What runs it, with its own arguments: `strace` for example. Empty for nothing.
    pub wrapper: Vec<OsString>,
    /// Whether it exports to a file, which [`Tracer::telemetry`] reads.
    pub to_file: bool,
}

/// To a file, with nothing else said.
impl Default for TracerOptions {
    fn default() -> Self {
        Self {
            name: "tracer".to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            to_file: true,
        }
    }
}

/// A running tracer that is attached. It is killed when it is dropped.
#[derive(Debug)]
pub struct Tracer {
    process: Process,
    stderr: PathBuf,
    exported: PathBuf,
}

impl Tracer {
    /// Starts `tracer run` with these arguments and an export to a file, and waits until it is attached.
    ///
    /// # Panics
    /// When `$TRACER_BIN` is not set, or the tracer does not get ready; with its last words.
    #[must_use]
    pub fn start(directory: &RunDirectory, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self::start_with(directory, TracerOptions { arguments, ..TracerOptions::default() })
    }

    /// Starts `tracer run` as told, and waits until it is attached.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(directory: &RunDirectory, options: TracerOptions) -> Self {
        let name = &options.name;
        let exported = directory.logs().join(format!("{name}.jsonl"));
        let stderr = directory.logs().join(format!("{name}.err"));
        let program = std::env::var_os("TRACER_BIN").expect("$TRACER_BIN names the tracer's executable");
        let mut words = options.wrapper.into_iter().chain([program]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).arg("run").args(&options.arguments);
        if options.to_file {
            command.arg("--export").arg(format!("file:{}", exported.display()));
        }
        // The caller's own settings for telemetry are not the test's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.envs(options.environment);
        let mut process = Process::start(name, command, directory.logs()).expect("the tracer starts");
        let is_ready = || fs::read_to_string(&stderr).is_ok_and(|said| said.contains("ready:"));
        process.wait_until(READY_PATIENCE, is_ready).expect("the tracer gets ready");
        Self { process, stderr, exported }
    }

    /// The process id: of the wrapper, where there is one.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The file that it exports to: OTLP JSON Lines.
    #[must_use]
    pub fn exported(&self) -> &Path {
        &self.exported
    }

    /// What it has exported to its file so far.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        Telemetry::read(&self.exported)
    }

    /// What it has written to its standard error so far.
    ///
    /// # Panics
    /// When that cannot be read.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("the tracer's standard error")
    }

    /// Waits until what was exported to the file is as wanted; `false` when it is not by the deadline. Only for
    /// tests that need the tracer alive: [`Self::stop`] makes it export all.
    #[must_use]
    pub fn wait_until(&self, wanted: impl Fn(&Telemetry) -> bool, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        loop {
            if wanted(&self.telemetry()) {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Stops its process (SIGSTOP, SIGCONT) for as long as `work` takes: the probe goes on, and nobody empties its
    /// ring buffer.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn pause(&self, work: impl FnOnce()) {
        self.signal("STOP");
        work();
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(status.expect("kill can be run").success(), "the tracer takes SIG{signal}");
    }

    /// Asks it to end by SIGTERM, upon which it detaches and exports what is left.
    ///
    /// # Panics
    /// When it does not end in time, or not with exit status 0; with its last words.
    #[must_use]
    pub fn stop(self) -> Outcome {
        let exported = self.exported.clone();
        let mut outcome = self.stop_unread();
        outcome.telemetry = Telemetry::read(&exported);
        outcome
    }

    /// As [`Self::stop`], but leaves what was exported in its file ([`Self::exported`]): it may be too much to be
    /// kept in memory.
    ///
    /// # Panics
    /// As [`Self::stop`].
    #[must_use]
    pub fn stop_unread(mut self) -> Outcome {
        let status = self.process.stop(END_PATIENCE).expect("the tracer can be waited for");
        let stderr = self.stderr();
        assert!(status.success(), "the tracer ended with {status}:\n{stderr}");
        assert!(!stderr.contains("panicked at"), "a thread of the tracer panicked:\n{stderr}");
        Outcome { telemetry: Telemetry::default(), stderr }
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }
}
