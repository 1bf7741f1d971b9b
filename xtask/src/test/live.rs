//! Tests that load the probe into this machine's kernel: `tests/tests/live*.rs`.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use xtask::workspace;

use super::Outcome;
use super::tally::{self, Tally};
use crate::{cargo, privilege};

/// The feature that the live tests' targets require, so that a plain `cargo test` leaves them out.
const FEATURE: &str = "tests/live";

/// Asks the kernel for the smallest map there is (bpf(2), BPF_MAP_CREATE: an array of one 4-byte value), and prints
/// what it answers if it refuses. In Python, since it must run as root when we are not.
const TRY_BPF: &str = r#"
import ctypes, os, platform, sys
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
attributes = (ctypes.c_uint32 * 18)(2, 4, 4, 1)
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(number, 0, ctypes.byref(attributes), ctypes.sizeof(attributes)) < 0:
    sys.exit("this kernel refuses bpf(): " + os.strerror(ctypes.get_errno()))
"#;

/// Runs them one at a time, as root.
pub(super) fn run() -> Result<Outcome> {
    let names = names()?;
    if names.is_empty() {
        return Ok(Outcome::NotRun("there are none in tests/tests".to_owned()));
    }
    if let Some(reason) = obstacle()? {
        return Ok(Outcome::NotRun(reason));
    }
    let tracer = cargo::build_tracer()?;
    // As the tests without root are built, so that what both need is built once.
    let mut arguments = vec!["test", "--workspace", "--features", FEATURE, "--no-run"];
    arguments.extend(names.iter().flat_map(|name| ["--test", name]));
    let mut sum = Tally::default();
    for executable in cargo::build(&arguments)?.iter().filter(|executable| names.contains(&executable.name)) {
        println!("     Running {}", executable.name);
        let program = executable.path.to_str().context("the path of a test is not UTF-8")?;
        let mut command = privilege::as_root(program)?;
        command
            .arg("--test-threads=1")
            .current_dir(workspace::root().join("tests"))
            .env("TRACER_BIN", &tracer);
        sum += tally::run(&mut command)?;
    }
    Ok(Outcome::Ran(sum))
}

/// The names of the live tests' targets.
fn names() -> Result<Vec<String>> {
    let directory = workspace::root().join("tests/tests");
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        // A directory without a main file holds the modules of the file of that name.
        let is_target = path.is_file() || path.join("main.rs").is_file();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(target_name);
        if let (Some(name), true) = (name, is_target) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The target of a file `live*.rs`, or of a directory `live*` with a `main.rs`.
fn target_name(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".rs").unwrap_or(file);
    (name.starts_with("live") && !name.contains('.')).then_some(name)
}

/// Why the live tests cannot run here, if so. A kernel that has bpf() but refuses the probe is no such reason.
fn obstacle() -> Result<Option<String>> {
    if !privilege::can_be_root() {
        return Ok(Some("they need root, and sudo would ask for a password".to_owned()));
    }
    let mut command: Command = privilege::as_root("python3")?;
    let answer = command.args(["-c", TRY_BPF]).stdin(Stdio::null()).output().context("cannot run python3")?;
    let reason = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    Ok((!answer.status.success()).then_some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_targets_are_told_by_name() {
        assert_eq!(target_name("live.rs"), Some("live"));
        assert_eq!(target_name("live_burst.rs"), Some("live_burst"));
        assert_eq!(target_name("replay.rs"), None);
        assert_eq!(target_name("live.rs.orig"), None);
    }
}
