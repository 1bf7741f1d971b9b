//! Cargo's tools, each of a fixed version, under `target/tools`.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use xtask::workspace;

use super::{run_quietly, say};

/// What Debian's package with a ready-made `core` for BPF brings.
pub(super) const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none";

/// Debian's LLVM: bpf-linker does not find it by itself.
const DEBIAN_LLVM: &str = "/usr/lib/llvm-22";

const BPF_LINKER: &str = "0.13.0";
const CARGO_DENY: &str = "0.20.2";

/// The linker of the probe. One that `$BPF_LINKER` or `PATH` names is left to be used (tracer/build.rs does so).
pub(super) fn bpf_linker() -> Result<()> {
    let installed = workspace::tools().join("bin/bpf-linker");
    if has_version(&installed, BPF_LINKER) {
        return Ok(());
    }
    let elsewhere = env::var_os("BPF_LINKER").is_some() || workspace::program("bpf-linker").is_ok();
    if elsewhere && !installed.exists() {
        return Ok(());
    }
    let mut command = install("bpf-linker", BPF_LINKER)?;
    if Path::new(DEBIAN_LLVM).is_dir() {
        command.args(["--no-default-features", "--features", "llvm-22"]).env("LLVM_PREFIX", DEBIAN_LLVM);
    }
    run_quietly("bpf-linker", &mut command)
}

/// The standard library for another target, by rustup.
pub(super) fn rust_target(target: &str) -> Result<()> {
    let answer = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let known =
        answer.context("cannot run rustup, which brings the standard library for another architecture")?;
    if String::from_utf8_lossy(&known.stdout).lines().any(|line| line == target) {
        return Ok(());
    }
    say(&format!("adding rustup's target {target}"));
    run_quietly("rust-target", Command::new("rustup").args(["target", "add", target]))
}

/// The judge of licences and sources in `.ci/run`.
pub(super) fn cargo_deny() -> Result<()> {
    if has_version(&workspace::tools().join("bin/cargo-deny"), CARGO_DENY) {
        return Ok(());
    }
    run_quietly("cargo-deny", &mut install("cargo-deny", CARGO_DENY)?)
}

/// Whether rustup's nightly can compile `core` and a linker for it is at hand.
pub(super) fn has_nightly_toolchain() -> bool {
    let linker = env::var_os("BPF_LINKER").is_some() || workspace::program("bpf-linker").is_ok();
    let sysroot = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|answer| answer.status.success())
        .map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned());
    linker && sysroot.is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/core").is_dir())
}

fn install(name: &str, version: &str) -> Result<Command> {
    say(&format!("installing {name} {version} (compiles for a minute or two)"));
    let cargo = env::var_os("CARGO").context("not run by cargo: use `cargo xtask setup`")?;
    let mut command = Command::new(cargo);
    command
        .args(["install", "--quiet", "--locked", "--force", "--root"])
        .arg(workspace::tools())
        .arg(format!("{name}@{version}"));
    Ok(command)
}

fn has_version(program: &Path, version: &str) -> bool {
    let answer = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    answer.is_ok_and(|answer| is_version(&String::from_utf8_lossy(&answer.stdout), version))
}

fn is_version(text: &str, version: &str) -> bool {
    text.split_whitespace().any(|word| word == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_whole_word() {
        assert!(is_version("bpf-linker 0.13.0\n", "0.13.0"));
        assert!(!is_version("bpf-linker 0.13.01\n", "0.13.0"));
        assert!(!has_version(Path::new("/nonexistent"), "1"));
    }
}
