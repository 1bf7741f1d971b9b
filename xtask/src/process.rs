//! Child processes that cannot outlive their starter.
//!
//! Each child leads a process group of its own. Dropping a [`Process`] kills the group; a small guard (a shell
//! that waits for the end of a pipe) does so when the starter dies without dropping anything, by Ctrl-C or by
//! SIGKILL. `PR_SET_PDEATHSIG` would not do: it follows the *thread* that started the child, and test threads
//! are short-lived.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// How often a condition is looked at again while something waits for it.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How long a killed group may take to vanish. Where nobody reaps orphans it never does.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// A running child with all its descendants (those that stay in its process group).
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    guard: Child,
    /// The child runs as root and we do not: signals go through `sudo`.
    by_sudo: bool,
    error_log: Option<PathBuf>,
}

impl Process {
    /// Starts `command` with nothing on its standard input, its output in `<directory>/<name>.out` and its
    /// errors in `<directory>/<name>.err`.
    ///
    /// # Errors
    /// When the files cannot be made or the program cannot be started.
    pub fn start(name: &str, mut command: Command, directory: &Path) -> Result<Self> {
        let error_log = directory.join(format!("{name}.err"));
        let create =
            |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
        command
            .stdin(Stdio::null())
            .stdout(create(&directory.join(format!("{name}.out")))?)
            .stderr(create(&error_log)?);
        let mut process = Self::start_with_stdio(name, command)?;
        process.error_log = Some(error_log);
        Ok(process)
    }

    /// Starts `command` with the standard streams that it was given.
    ///
    /// # Errors
    /// When the program or its guard cannot be started.
    pub fn start_with_stdio(name: &str, mut command: Command) -> Result<Self> {
        let by_sudo = command.get_program() == "sudo";
        let mut child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().to_string_lossy()))?;
        match guard(child.id(), by_sudo) {
            Ok(guard) => Ok(Self { name: name.to_owned(), child, guard, by_sudo, error_log: None }),
            Err(error) => {
                child.kill().and_then(|()| child.wait()).context("cannot stop an unguarded child")?;
                Err(error)
            }
        }
    }

    /// The process id, which is its group's id too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its pipes.
    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, if the child has ended.
    ///
    /// # Errors
    /// When the child cannot be waited for.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Waits until `ready` holds, looking at it every few milliseconds.
    ///
    /// # Errors
    /// When the child ends first, or `patience` runs out; with the end of its error log.
    pub fn wait_until(&mut self, patience: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                bail!("{} ended before it was ready ({status}){}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} was not ready after {} s{}", self.name, patience.as_secs(), self.last_words());
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Asks the group to end (SIGTERM), and kills what is left of it when `patience` runs out.
    ///
    /// # Errors
    /// When the child cannot be waited for.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while self.ended()?.is_none() && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
        let in_time = self.ended()?;
        self.signal(Signal::KILL);
        match in_time {
            Some(status) => Ok(status),
            None => self.child.wait().with_context(|| format!("cannot wait for {}", self.name)),
        }
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        if self.by_sudo {
            let number = signal.as_raw().to_string();
            // Fails when the group is gone, which is what was wanted.
            let _ = sudo_kill(&number, self.child.id()).stderr(Stdio::null()).status();
        } else {
            let _ = kill_process_group(group, signal);
        }
    }

    fn has_group(&self) -> bool {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        group.is_some_and(|group| test_kill_process_group(group) != Err(rustix::io::Errno::SRCH))
    }

    /// The end of the error log, as the tail of a message.
    fn last_words(&self) -> String {
        const TAIL: usize = 1500;
        let Some(path) = &self.error_log else { return String::new() };
        let mut text = Vec::new();
        if File::open(path).and_then(|mut file| file.read_to_end(&mut text)).is_err() || text.is_empty() {
            return String::new();
        }
        let tail = text.get(text.len().saturating_sub(TAIL)..).unwrap_or_default();
        format!("; the end of {}:\n{}", path.display(), String::from_utf8_lossy(tail).trim_end())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Nothing can be done about a failure here, and the guard below would have failed likewise.
        let _ = self.child.wait();
        let deadline = Instant::now() + KILL_PATIENCE;
        while self.has_group() && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
        // Last, so that the group is guarded until it is gone.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

/// Starts the shell that kills a group when the other end of its standard input is closed.
fn guard(group: u32, by_sudo: bool) -> Result<Child> {
    let sudo = if by_sudo { "sudo -n " } else { "" };
    Command::new("sh")
        .args(["-c", &format!("read -r _; {sudo}kill -s KILL -- -{group} 2>/dev/null")])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the guard of a child process")
}

fn sudo_kill(signal: &str, group: u32) -> Command {
    let mut command = Command::new("sudo");
    command.args(["-n", "kill", "-s", signal, "--", &format!("-{group}")]);
    command
}

/// Whether a process with this id exists (a zombie does not count).
pub fn is_alive(process: u32) -> bool {
    // The state follows the command's name, which is in parentheses and may itself hold any character.
    fs::read_to_string(format!("/proc/{process}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with(['Z', 'X'])))
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn first_line(process: &mut Process) -> String {
        let mut line = String::new();
        let mut output = std::io::BufReader::new(process.child_mut().stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        line.trim().to_owned()
    }

    #[test]
    fn dropping_kills_the_descendants_too() {
        let mut process = Process::start_with_stdio("family", shell("sleep 1000 & echo $!; wait")).unwrap();
        let grandchild: u32 = first_line(&mut process).parse().unwrap();
        assert!(is_alive(grandchild));
        drop(process);
        assert!(!is_alive(grandchild));
    }

    #[test]
    fn the_guard_kills_the_group_when_its_pipe_closes() {
        let mut process = Process::start_with_stdio("orphan", shell("sleep 1000")).unwrap();
        drop(process.guard.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.ended().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the guard did not act");
            thread::sleep(POLL_INTERVAL);
        }
    }

    #[test]
    fn an_early_end_is_reported_with_the_last_words() {
        let directory = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut process =
            Process::start("short", shell("echo no such table >&2; exit 3"), &directory).unwrap();
        let message = process.wait_until(Duration::from_secs(10), || false).unwrap_err().to_string();
        fs::remove_dir_all(&directory).unwrap();
        assert!(message.contains("exit status: 3") && message.contains("no such table"), "{message}");
    }

    #[test]
    fn stopping_gives_the_childs_own_status() {
        let mut process = Process::start_with_stdio(
            "polite",
            shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"),
        )
        .unwrap();
        assert_eq!(first_line(&mut process), "up");
        assert_eq!(process.stop(Duration::from_secs(10)).unwrap().code(), Some(7));
    }
}
