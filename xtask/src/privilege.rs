//! Commands that must run as root.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use xtask::workspace;

/// A command that runs `program` as root: as it is, or through sudo.
///
/// # Errors
/// When we are not root and sudo is missing or refuses.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    workspace::program("sudo").ok().context("this needs root, and there is no sudo: run it as root")?;
    // Asks for the password now, on the terminal, rather than in the middle of something.
    if !Command::new("sudo").args(["--validate"]).status().is_ok_and(|status| status.success()) {
        bail!("this needs root, and sudo refused");
    }
    let mut command = Command::new("sudo");
    command.args(["--preserve-env", program]);
    Ok(command)
}

/// Whether commands can run as root without a question.
pub(crate) fn can_be_root() -> bool {
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    is_root() || sudo.status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
