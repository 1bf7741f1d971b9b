//! Runs of cargo inside a command.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::architecture::Architecture;
use xtask::workspace;

/// An executable that a build made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// The target's name: of the binary or of the test.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// cargo in the workspace, without what `cargo run` put into the environment for us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let of_this_package = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "LD_LIBRARY_PATH"
        });
        if of_this_package {
            command.env_remove(name);
        }
    }
    command.current_dir(workspace::root());
    command
}

/// Builds and lists the executables that came of it. The compiler's messages go to standard error.
pub(crate) fn build(arguments: &[&str]) -> Result<Vec<Executable>> {
    build_with(arguments, &[])
}

/// The same with variables of the environment.
pub(crate) fn build_with(arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<Vec<Executable>> {
    let answer = cargo()
        .args(arguments)
        .envs(variables.iter().copied())
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !answer.status.success() {
        bail!("`cargo {}` failed", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&answer.stdout).lines().filter_map(executable).collect())
}

/// Builds the tracer as the tests and the demo run it: optimised.
pub(crate) fn build_tracer() -> Result<PathBuf> {
    build_optimised("tracer", &[])
}

/// Builds an optimised binary of the workspace.
pub(crate) fn build_optimised(name: &str, variables: &[(&str, &OsStr)]) -> Result<PathBuf> {
    // The packages that are named decide which features what they depend on has: with the same ones each time it is
    // built once for all of them.
    const PACKAGES: [&str; 8] =
        ["--package", "tracer", "--package", "fuzz", "--package", "bench", "--features", "fuzz/libfuzzer"];
    let arguments = [&["build", "--release", "--bin", name][..], &PACKAGES].concat();
    let built = build_with(&arguments, variables)?;
    let executable = built.into_iter().find(|executable| executable.name == name);
    Ok(executable.with_context(|| format!("cargo built no {name}"))?.path)
}

/// Compiles C and links for other architectures: the one compiler that knows all of them.
const CROSS_COMPILER: &str = "clang";

/// Builds the tracer as it is shipped: one static binary. `profile` is cargo's.
pub(crate) fn build_static_tracer(profile: &str, architecture: Architecture) -> Result<PathBuf> {
    let target = architecture.target();
    let mut command = cargo();
    command
        .args(["build", "--locked", "--package", "tracer", "--bin", "tracer", "--profile", profile])
        // With a target named, the flags are not those of build scripts and macros, which cannot be static.
        .args(["--target", target]);
    let mut flags = String::from("-C target-feature=+crt-static");
    if !architecture.is_host() {
        let name = target.replace('-', "_");
        let tools = format!("--target={}", architecture.triplet());
        command.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), CROSS_COMPILER);
        command.env(format!("CC_{name}"), CROSS_COMPILER).env(format!("CFLAGS_{name}"), &tools);
        flags.push_str(&format!(" -C link-arg={tools}"));
    }
    command.env("RUSTFLAGS", flags);
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the static binary was not built");
    }
    Ok(workspace::root().join("target").join(target).join(profile).join("tracer"))
}

/// The executable in one of cargo's messages.
fn executable(message: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some(Executable { name: name.to_owned(), path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_are_listed() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"live"},"executable":"/t/live-1"}"#;
        assert_eq!(executable(message), Some(Executable { name: "live".into(), path: "/t/live-1".into() }));
        assert_eq!(executable(r#"{"target":{"name":"x"},"executable":null}"#), None);
        assert_eq!(executable("text"), None);
    }
}
