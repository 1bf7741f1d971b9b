//! The Python environments of the tests: `target/venv` of the backend, `target/clients/venv` of the clients,
//! `target/apps/venv` of the oracle's applications.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::workspace;

use super::{run_quietly, say};

/// Makes them.
pub(super) fn install() -> Result<()> {
    let list = |directory: PathBuf| directory.join("requirements.txt");
    make("test backend", &workspace::virtualenv(), &list(workspace::backend()))?;
    make("clients under test", &workspace::clients_virtualenv(), &list(workspace::clients()))?;
    make("oracle's applications", &workspace::apps_virtualenv(), &list(workspace::apps()))
}

/// Makes an environment, unless the one that is there was made from the same list by the same Python.
fn make(owner: &str, environment: &Path, list: &Path) -> Result<()> {
    let requirements = fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    let python = interpreter();
    let version = Command::new(python).arg("--version").output().context("cannot run python3")?;
    // Where it is counts too: an environment cannot be moved.
    let wanted = format!(
        "# {python} {} at {}\n{requirements}",
        String::from_utf8_lossy(&version.stdout).trim(),
        environment.display()
    );
    let stamp = environment.join("made-from");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    say(&format!("making the Python environment of the {owner} in {}", environment.display()));
    run_quietly("venv", Command::new(python).args(["-m", "venv", "--clear"]).arg(environment))?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--requirement"])
        .arg(list);
    run_quietly("pip", &mut pip)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// The system's Python before one that happens to be first in `PATH`: python3-venv belongs to it.
pub(super) fn interpreter() -> &'static str {
    const SYSTEM: &str = "/usr/bin/python3";
    if Path::new(SYSTEM).is_file() { SYSTEM } else { "python3" }
}
