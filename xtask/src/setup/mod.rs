//! `cargo xtask setup`: what the build and the tests need. Each step looks before it acts, so that a second run
//! takes a moment and says nothing but that all is there.

mod debian;
mod deploy;
mod node;
mod python;
mod tools;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use xtask::architecture::Architecture;
use xtask::workspace;

/// What to set up beyond what the build and the tests need.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// The tools of `.ci/run` too.
    pub(crate) ci: bool,
}

/// Installs what is missing.
pub(crate) fn run(options: Options) -> Result<()> {
    debian::install()?;
    tools::bpf_linker()?;
    if options.ci {
        tools::cargo_deny()?;
    }
    python::install()?;
    node::install()?;
    deploy::install()
}

/// Installs only what the build for this architecture needs.
pub(crate) fn toolchain(architecture: Architecture) -> Result<()> {
    debian::install_toolchain(architecture)?;
    if !architecture.is_host() {
        tools::rust_target(architecture.target())?;
    }
    tools::bpf_linker()
}

/// Installs what guests of another architecture need: what builds the tracer for it, and what the guests are made of.
pub(crate) fn guests(architecture: Architecture) -> Result<()> {
    toolchain(architecture)?;
    debian::install_guests(architecture)
}

/// Says what is being done.
fn say(line: &str) {
    println!("setup: {line}");
}

/// Runs a long command with its output in `target/setup/<name>.log`; a failure shows the end of that.
fn run_quietly(name: &str, command: &mut Command) -> Result<()> {
    const TAIL: usize = 20;
    let log = log_file(name)?;
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = output.try_clone()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read(&log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n");
    bail!("{name} failed ({status}); the end of {}:\n{tail}", log.display())
}

fn log_file(name: &str) -> Result<PathBuf> {
    let directory = workspace::target().join("setup");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.join(format!("{name}.log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_the_log() {
        let mut command = Command::new("sh");
        command.args(["-c", "for i in $(seq 30); do echo line $i; done; exit 4"]);
        let message = run_quietly("unit", &mut command).unwrap_err().to_string();
        assert!(message.contains("exit status: 4") && message.ends_with("line 30"), "{message}");
        assert!(!message.contains("line 10\n"), "{message}");
    }
}
