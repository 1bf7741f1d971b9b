//! Client programs, held until the tracer is attached.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use xtask::process::Process;
use xtask::testbed::RunDirectory;
use xtask::workspace;

use super::counts::Counts;

/// How long a client may take for its work.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits for a line, then runs the client as its child, which is a target from its first call on. It outlives the
/// client: a process that is gone within a millisecond has the name of the one that started it.
const HOLD: &str = r#"read -r _ || exit; "$@"; exit $?"#;

/// A client that waits to be released.
#[derive(Debug)]
pub struct Client {
    name: String,
    process: Process,
    account: PathBuf,
    output: PathBuf,
    errors: PathBuf,
}

impl Client {
    /// Holds this command. Its name is the `service.name` of its spans.
    pub fn hold(directory: &RunDirectory, name: &str, program: &Command) -> Self {
        let file = |extension: &str| directory.logs().join(format!("{name}.{extension}"));
        let (account, output, errors) = (file("account"), file("out"), file("err"));
        let mut command = Command::new("sh");
        command.args(["-c", HOLD, "sh"]).arg(program.get_program()).args(program.get_args());
        // The caller's own settings for telemetry are not the client's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("OTEL_SERVICE_NAME", name).env("ACCOUNT", &account);
        command.stdin(Stdio::piped());
        command.stdout(File::create(&output).unwrap()).stderr(File::create(&errors).unwrap());
        let process = Process::start_with_stdio(name, command).expect("the client starts");
        Self { name: name.to_owned(), process, account, output, errors }
    }

    /// The `service.name` of its spans.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Lets it begin, with this on its standard input.
    pub fn release(&mut self, input: &str) {
        let mut stdin = self.process.child_mut().stdin.take().expect("it is held");
        stdin.write_all(format!("go\n{input}").as_bytes()).expect("it reads");
    }

    /// Waits until it has done its work, which it must do well; what it wrote to its standard output.
    pub fn finish(&mut self) -> String {
        let name = &self.name;
        let deadline = Instant::now() + PATIENCE;
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            status = self.process.ended().expect("it can be waited for");
            thread::sleep(POLL_INTERVAL);
        }
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        let status = status.unwrap_or_else(|| panic!("{name} does not end: {said}"));
        assert!(status.success(), "{name} ended with {status}: {said}");
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }

    /// What it says that it did.
    pub fn account(&self) -> Counts {
        Counts::read(&self.account)
    }
}

/// A Python program of `tests/clients`.
pub fn python(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::clients_virtualenv().join("bin/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(workspace::clients().join(program)).args(arguments);
    command
}

/// A Node program of `tests/clients`.
pub fn node(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::program("node").unwrap());
    command.env("NODE_PATH", workspace::clients_node().join("node_modules"));
    command.arg(workspace::clients().join(program)).args(arguments);
    command
}

/// A program of the machine.
pub fn tool(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::program(name).unwrap());
    command.args(arguments);
    command
}
