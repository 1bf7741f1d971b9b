//! Builds the probe (the binary of `tracer-ebpf`) for the BPF target and puts it at `$OUT_DIR/probe`.
//!
//! Two toolchains can do it: a `rustc` from a distribution that ships a ready-made `core` for
//! `bpfel-unknown-none` (Debian's rustc-web with libstd-rust-web-dev-bpf), or rustup's nightly with rust-src.
//! Both link with `bpf-linker`. When neither is there, the build ends with one sentence that says what to do.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "bpfel-unknown-none";

/// Where distributions install their compiler. Not searched in `PATH`: there, rustup's proxy comes first.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Who compiles the probe.
enum Toolchain {
    /// A compiler that brings `core` for the BPF target.
    System { rustc: PathBuf },
    /// rustup's nightly, which compiles `core` from its source.
    Nightly,
}

fn main() -> Result<()> {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest_dir.parent().ok_or("the crate lies outside its workspace")?;
    let sources = workspace.join("tracer-ebpf");
    for input in [sources.join("src"), sources.join("Cargo.toml"), workspace.join("Cargo.lock")] {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BPF_LINKER");

    let (Some(toolchain), Some(linker)) = (find_toolchain(), find_linker(workspace)) else {
        println!("cargo::error=the toolchain for the kernel probe is missing: run `cargo xtask setup`");
        return Ok(());
    };
    println!("cargo::rerun-if-changed={}", linker.display());
    build(&toolchain, &linker, &sources)
}

fn build(toolchain: &Toolchain, linker: &Path, sources: &Path) -> Result<()> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    // A directory of its own: cargo holds the lock of the outer one while this script runs.
    let target_dir = out_dir.join("probe-target");
    let mut cargo = cargo(toolchain)?;
    cargo
        .args(["build", "--package", "tracer-ebpf", "--bin", "probe", "--features", "probe", "--release"])
        .args(["--target", TARGET])
        .arg("--manifest-path")
        .arg(sources.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_BUILD_BUILD_DIR", &target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(linker)?)
        // The workspace's release profile is made for user space; the verifier wants these.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "false")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "false")
        // Standard output belongs to the directives for the outer cargo.
        .stdout(Stdio::from(std::io::stderr()));
    let status = cargo.status().map_err(|error| format!("cannot run cargo for the probe: {error}"))?;
    if !status.success() {
        return Err(format!("the probe did not build ({status}); the compiler's words are above").into());
    }
    let built = target_dir.join(TARGET).join("release/probe");
    fs::copy(&built, out_dir.join("probe"))
        .map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
    Ok(())
}

/// The cargo that builds the probe, free of what the outer cargo meant for the outer build.
fn cargo(toolchain: &Toolchain) -> Result<Command> {
    let mut command = match toolchain {
        Toolchain::System { .. } => Command::new(variable("CARGO")?),
        Toolchain::Nightly => Command::new("rustup"),
    };
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_meant_for_outer_build) {
            command.env_remove(name);
        }
    }
    // Empty means none, also where a configuration file names a wrapper.
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    match toolchain {
        Toolchain::System { rustc } => {
            // The probe needs unstable features (inline assembly for BPF) of a stable compiler.
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
        }
        Toolchain::Nightly => {
            command.args(["run", "nightly", "cargo", "-Z", "build-std=core"]);
        }
    }
    Ok(command)
}

/// Whether an environment variable is about this build script or about how user space is compiled.
fn is_meant_for_outer_build(name: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    const OUTER: [&str; 5] = ["CARGO", "CLIPPY_", "RUSTC", "RUSTFLAGS", "RUSTDOC"];
    OUTER.iter().any(|prefix| name.starts_with(prefix)) && !KEPT.iter().any(|prefix| name.starts_with(prefix))
        || name == "RUSTUP_TOOLCHAIN"
}

/// Flags separated by cargo's 0x1f, so that paths may hold spaces.
fn rustflags(linker: &Path) -> Result<String> {
    let linker = linker.to_str().ok_or("the path of bpf-linker is not UTF-8")?;
    // The machine on which the probe will run: it decides the layout of `pt_regs`.
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let flags = [
        format!("-Clinker={linker}"),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "--check-cfg=cfg(bpf_target_arch,values(any()))".to_owned(),
    ];
    Ok(flags.join("\x1f"))
}

fn find_toolchain() -> Option<Toolchain> {
    if sysroot(Command::new(SYSTEM_RUSTC)).is_some_and(|root| root.join("lib/rustlib").join(TARGET).is_dir())
    {
        return Some(Toolchain::System { rustc: SYSTEM_RUSTC.into() });
    }
    let mut nightly = Command::new("rustup");
    nightly.args(["run", "nightly", "rustc"]);
    let source = sysroot(nightly)?.join("lib/rustlib/src/rust/library/core");
    source.is_dir().then_some(Toolchain::Nightly)
}

/// The directory that a compiler keeps its libraries in.
fn sysroot(mut rustc: Command) -> Option<PathBuf> {
    let answer = rustc.args(["--print", "sysroot"]).stderr(Stdio::null()).output().ok()?;
    answer.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()))
}

/// `$BPF_LINKER`, else what `cargo xtask setup` installed, else the one in `PATH`.
fn find_linker(workspace: &Path) -> Option<PathBuf> {
    if let Some(named) = env::var_os("BPF_LINKER") {
        return Some(PathBuf::from(named)).filter(|linker| linker.is_file());
    }
    let installed = workspace.join("target/tools/bin/bpf-linker");
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(installed)
        .chain(env::split_paths(&path).map(|directory| directory.join("bpf-linker")))
        .find(|linker| linker.is_file())
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
