//! The packages of the Node clients that the live tests trace, `target/clients/node`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::workspace;

use super::{run_quietly, say};

/// What says which packages, and which versions of them and of all that they need.
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Installs what the lock file lists, unless just that is there.
pub(super) fn install() -> Result<()> {
    let (from, to) = (workspace::clients(), workspace::clients_node());
    let stamp = to.join("made-from");
    let wanted = LISTS.into_iter().map(|name| read(&from.join(name))).collect::<Result<String>>()?;
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    say(&format!("installing the Node clients under test in {}", to.display()));
    fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    for name in LISTS {
        fs::copy(from.join(name), to.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    // None of them is compiled or has anything to run when it is installed.
    let mut npm = Command::new(workspace::program("npm")?);
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to);
    run_quietly("npm", &mut npm)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
