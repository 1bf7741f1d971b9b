//! The program under test, told what to do.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::process::Process;
use xtask::testbed::RunDirectory;
use xtask::workspace;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// `tests/apps/hands.py`, running.
#[derive(Debug)]
pub struct Hands {
    process: Process,
    /// The process that takes the commands; the same as `process` unless something else started it.
    id: u32,
    commands: File,
    answers: Receiver<String>,
}

impl Hands {
    /// Starts it with its standard output and error in files of the run's directory.
    pub fn start(directory: &RunDirectory, name: &str) -> Self {
        Self::start_by(directory, name, |python, arguments| {
            let mut command = Command::new(python);
            command.args(arguments);
            command
        })
    }

    /// Starts it by the command that `wrap` makes of the interpreter and its arguments.
    pub fn start_by(
        directory: &RunDirectory,
        name: &str,
        wrap: impl FnOnce(&str, &[String]) -> Command,
    ) -> Self {
        let pipes = ["in", "out"].map(|end| directory.data(&format!("{name}.{end}")));
        for pipe in &pipes {
            let made = Command::new("mkfifo").arg(pipe).status().unwrap();
            assert!(made.success(), "mkfifo {}", pipe.display());
        }
        let script = workspace::root().join("tests/apps/hands.py");
        let arguments: Vec<String> =
            [&script, &pipes[0], &pipes[1]].map(|path| path.to_str().unwrap().to_owned()).to_vec();
        let python = workspace::virtualenv().join("bin/python");
        let mut command = wrap(python.to_str().unwrap(), &arguments);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONNOUSERSITE", "1");
        let process = Process::start(name, command, directory.logs()).unwrap();
        // Opened for both ways, a FIFO does not wait for its other end.
        let [commands, answers] = pipes.map(|pipe| open(&pipe));
        let id = process.id();
        let mut hands = Self { process, id, commands, answers: lines(answers) };
        hands.id = u32::try_from(hands.ask("identify", json!({})).as_u64().unwrap()).unwrap();
        hands
    }

    /// The process id, as an argument.
    pub fn pid(&self) -> String {
        self.id.to_string()
    }

    /// Has it do something, and gives what it tells.
    ///
    /// # Panics
    /// When it fails or takes too long.
    pub fn ask(&mut self, what: &str, arguments: Value) -> Value {
        let command = command(what, arguments);
        writeln!(self.commands, "{command}").unwrap();
        let Ok(line) = self.answers.recv_timeout(PATIENCE) else {
            panic!("no answer to {command}; ended: {:?}", self.process.ended());
        };
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("error").is_none(), "{command}: {answer}");
        answer["ok"].take()
    }

    /// The same, done by a child made by `fork`.
    pub fn ask_child(&mut self, child: &str, what: &str, arguments: Value) -> Value {
        self.ask("tell", json!({ "child": child, "command": command(what, arguments) }))
    }

    /// The same, on a thread of its own, which has begun to wait inside system call `number` when this returns.
    /// `finish` with the same name gives the answer.
    pub fn ask_blocking(&mut self, name: &str, number: libc::c_long, what: &str, arguments: Value) {
        let begin = json!({ "name": name, "command": command(what, arguments) });
        let thread = self.ask("begin", begin).as_u64().unwrap();
        let path = format!("/proc/{}/task/{thread}/syscall", self.id);
        let prefix = format!("{number} ");
        wait_for(
            || std::fs::read_to_string(&path).is_ok_and(|call| call.starts_with(&prefix)),
            || format!("{path} never showed call {number}"),
        );
    }

    /// Listens; gives the port (0 for a Unix socket).
    pub fn listen(&mut self, arguments: Value) -> u16 {
        u16::try_from(self.ask("listen", arguments).as_u64().unwrap_or(0)).unwrap()
    }

    /// Sends `data` on connection `name` by one `send`.
    pub fn send(&mut self, name: &str, data: &str) {
        let sent = self.ask("send", json!({ "name": name, "data": data }));
        assert_eq!(sent, data.len(), "{name}: {data}");
    }

    /// Receives on connection `name` by one `recv`.
    pub fn receive(&mut self, name: &str) -> String {
        self.ask("receive", json!({ "name": name })).as_str().unwrap().to_owned()
    }
}

fn command(what: &str, mut arguments: Value) -> Value {
    arguments["do"] = what.into();
    arguments
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// The lines of a file, read by a thread. It ends with the test's process: a FIFO that is open for writing has no end.
fn lines(file: File) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Waits until `holds`.
///
/// # Panics
/// With what `otherwise` tells, when it does not in time.
pub fn wait_for(mut holds: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        thread::sleep(Duration::from_millis(2));
    }
}
