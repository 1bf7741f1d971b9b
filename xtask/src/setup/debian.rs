//! Debian packages: the toolchain of the probe, and the servers and tools of the tests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::architecture::Architecture;
use xtask::{vm, workspace};

use super::{run_quietly, say, tools};
use crate::privilege;

/// What compiles and links the probe: a compiler with a ready-made `core` for BPF, and what bpf-linker is built of.
const TOOLCHAIN: [&str; 8] = [
    "rustc-web",
    "libstd-rust-web-dev",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
    "libpolly-22-dev",
    "libxml2-dev",
    "libzstd-dev",
    "zlib1g-dev",
];

/// What the tests and the demo run besides what guests are made of. `g++` builds libFuzzer, `gcc-multilib` a 32-bit program,
/// `musl-tools` one on musl; `libpython3.11` is what the collector of the tests is linked with.
const TESTS: [&str; 22] = [
    "file",
    "g++",
    "mariadb-client",
    "nginx",
    "redis-tools",
    "wrk",
    "strace",
    "tcpdump",
    "valgrind",
    "bpftool",
    "iproute2",
    "nftables",
    "curl",
    "gcc-multilib",
    "golang-github-go-sql-driver-mysql-dev",
    "golang-github-gomodule-redigo-dev",
    "golang-go",
    "libc6-dev",
    "libpython3.11",
    "musl-tools",
    "python3-venv",
    "runc",
];

/// What runs the Node clients, where the machine has no Node of its own.
const NODE: [&str; 2] = ["nodejs", "npm"];

/// Installs the packages as root, given as arguments.
///
/// Servers among them would be started at once and at every boot. Their start is refused while this runs, by the
/// means that Debian has for it (and nothing is changed where the machine already has such a policy); what
/// was newly installed is then disabled.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get --quiet update || echo "apt-get update was not complete; going on with the lists there are"
apt-get --quiet --yes -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
if command -v systemctl >/dev/null; then
    for package in "$@"; do
        case $package in
            mariadb-server) systemctl disable mariadb.service || true ;;
            redis-server) systemctl disable redis-server.service || true ;;
            nginx) systemctl disable nginx.service || true ;;
        esac
    done
fi
"#;

/// Programs that stand for the packages on systems without apt, which name them otherwise.
const PROGRAMS: [&str; 19] = [
    "curl",
    "go",
    "mariadb",
    "node",
    "npm",
    "redis-benchmark",
    "redis-cli",
    "mariadbd",
    "mariadb-install-db",
    "redis-server",
    "nginx",
    "wrk",
    "strace",
    "tcpdump",
    "python3",
    "qemu-system-x86_64",
    "busybox",
    "file",
    "runc",
];

/// Installs the packages that are missing.
pub(super) fn install() -> Result<()> {
    if workspace::program("apt-get").is_err() {
        return check_programs();
    }
    let mut wanted: Vec<&str> = TESTS.iter().chain(vm::PACKAGES).copied().collect();
    wanted.extend(toolchain());
    if ["node", "npm"].iter().any(|name| workspace::program(name).is_err()) {
        wanted.extend(NODE);
    }
    install_missing(&wanted)
}

/// Installs only those that the build needs.
pub(super) fn install_toolchain(architecture: Architecture) -> Result<()> {
    // Without apt, the build itself says what is missing.
    if workspace::program("apt-get").is_err() {
        return Ok(());
    }
    let mut wanted = toolchain().to_vec();
    if !architecture.is_host() {
        wanted.extend(architecture.cross_packages());
    }
    install_missing(&wanted)
}

/// Installs what runs guests of another architecture here.
pub(super) fn install_guests(architecture: Architecture) -> Result<()> {
    // Without apt there are no packages to make a guest of either, and that is said later.
    if workspace::program("apt-get").is_err() {
        return Ok(());
    }
    let wanted: Vec<&str> =
        vm::PACKAGES.iter().copied().chain([vm::emulator_package(architecture)]).collect();
    install_missing(&wanted)
}

fn toolchain() -> &'static [&'static str] {
    if tools::has_nightly_toolchain() { &[] } else { &TOOLCHAIN }
}

fn install_missing(wanted: &[&str]) -> Result<()> {
    let installed = installed(wanted)?;
    let missing: Vec<&str> =
        wanted.iter().copied().filter(|name| !installed.iter().any(|have| have == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {} Debian packages: {}", missing.len(), missing.join(" ")));
    let mut command = privilege::as_root("sh")?;
    command.args(["-c", INSTALL, "sh"]).args(&missing);
    run_quietly("apt", &mut command).with_context(|| {
        "the packages were not installed; where this system has no rustc-web or llvm-22, \
         rustup's nightly with rust-src and a bpf-linker in PATH serve instead"
    })
}

/// Which of these packages are installed.
fn installed(names: &[&str]) -> Result<Vec<String>> {
    // Fails when one is unknown, and tells of the others all the same.
    let answer = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(names)
        .output()
        .context("cannot run dpkg-query")?;
    Ok(parse_status(&String::from_utf8_lossy(&answer.stdout)))
}

fn parse_status(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_suffix(" installed")).map(str::to_owned).collect()
}

/// Without apt: says what is missing, since nothing can be installed.
fn check_programs() -> Result<()> {
    let mut missing: Vec<&str> =
        PROGRAMS.into_iter().filter(|name| workspace::program(name).is_err()).collect();
    if !tools::has_nightly_toolchain() && !Path::new(tools::DEBIAN_CORE).is_dir() {
        missing.push("rustup's nightly toolchain with rust-src (for the probe)");
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this system has no apt-get, so these must be installed by hand first: {}", missing.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let text = "nginx installed\nwrk not-installed\nredis-server config-files\ncpio installed\n";
        assert_eq!(parse_status(text), ["nginx", "cpio"]);
    }
}
