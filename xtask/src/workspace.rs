//! Where things lie in the workspace, and where programs lie on the machine.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The workspace's top directory.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where everything that can be made again is kept.
pub fn target() -> PathBuf {
    root().join("target")
}

/// Where the tools that the build needs are installed.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// The Python environment of the test backend.
pub fn virtualenv() -> PathBuf {
    target().join("venv")
}

/// The Python environment with kubectl and the validator of manifests.
pub fn deploy_tools() -> PathBuf {
    tools().join("deploy")
}

/// helm, which checks and renders the chart.
pub fn helm() -> PathBuf {
    tools().join("bin/helm")
}

/// The directory of the test backend.
pub fn backend() -> PathBuf {
    root().join("tests/backend")
}

/// The clients that the live tests trace: their programs, and the lists of what these are made with.
pub fn clients() -> PathBuf {
    root().join("tests/clients")
}

/// The Python environment of those clients.
pub fn clients_virtualenv() -> PathBuf {
    target().join("clients/venv")
}

/// The applications that the live tests trace.
pub fn apps() -> PathBuf {
    root().join("tests/apps")
}

/// The Python environment of those of the oracle.
pub fn apps_virtualenv() -> PathBuf {
    target().join("apps/venv")
}

/// Where the packages of those clients for Node are installed.
pub fn clients_node() -> PathBuf {
    target().join("clients/node")
}

/// The full path of a program; also looks where a user's `PATH` often does not: the system administrator's
/// directories, in which servers are installed.
///
/// # Errors
/// When there is none; the message names the command that installs it.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("`{name}` is not installed: run `cargo xtask setup`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_remedy() {
        let message = program("no-such-program-here").unwrap_err().to_string();
        assert!(
            message.contains("no-such-program-here") && message.contains("cargo xtask setup"),
            "{message}"
        );
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("tracer-ebpf/Cargo.toml").is_file());
    }
}
