//! `cargo xtask vm [KERNEL…]`: the probe on other kernels.
//!
//! Each guest is a Debian cloud kernel under QEMU, without KVM, whose only file system is an archive in memory. It
//! runs the machine's own MariaDB and Redis (on another architecture Debian's for it) and an application in Python
//! (`tests/guest`); the tracer traces that, once for each way to attach; what it exports is held against the client's own record ([`verdict`]).

mod apt;
mod cpio;
mod kernel;
mod machine;
mod mariadb;
mod otlp;
mod programs;
mod report;
mod root;
mod sources;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use kernel::{Series, series};
pub use report::{Guest, Report, Session};
pub use verdict::Verdict;

use crate::architecture::Architecture;
use crate::workspace;
use machine::Machine;
use programs::Programs;

/// A way to attach the probe: `tracer run --attach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// The BTF tracepoint at the exit of every system call.
    Tracepoint,
    /// A trampoline at the exit of each traced one.
    Fexit,
}

impl Attach {
    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::Fexit => "fexit",
        }
    }
}

/// Debian's packages with the programs that run here and those that are packed into the guest.
pub const PACKAGES: &[&str] = &[
    "busybox-static",
    "debian-archive-keyring",
    "mariadb-server",
    "python3",
    "python3-pip",
    "qemu-system-x86",
    "redis-server",
];

/// The package with what emulates this architecture.
#[must_use]
pub fn emulator_package(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "qemu-system-x86",
        Architecture::Arm64 => "qemu-system-arm",
    }
}

/// What is not said by the list of kernels.
#[derive(Debug)]
pub struct Options {
    /// The tracer's executable, with the probe inside. Its few shared libraries are among the servers'.
    pub tracer: PathBuf,
    /// The guests' architecture. Where it is not this machine's the tracer must be static.
    pub architecture: Architecture,
    /// How long a guest may take.
    pub deadline: Duration,
}

impl Options {
    /// The defaults.
    ///
    /// # Errors
    /// When this machine's architecture is none that there are guests of.
    pub fn new(tracer: PathBuf) -> Result<Self> {
        Ok(Self { tracer, architecture: Architecture::host()?, deadline: Duration::from_secs(480) })
    }
}

/// Runs the live test on `kernels` (names as in [`series`]; none: all), one guest after another.
///
/// A guest that fails is in the report, and the next one runs.
///
/// # Errors
///
/// Before the first guest: an unknown kernel, a package or a tracer that is missing on this machine.
pub fn run(kernels: &[String], options: &Options) -> Result<Report> {
    let architecture = options.architecture;
    let chosen = choose(kernels, architecture)?;
    let target = workspace::target().join("vm");
    // What is made for another architecture has a directory of its own.
    let own = if architecture.is_host() { target.clone() } else { target.join(architecture.name()) };
    fs::create_dir_all(&own)?;
    let programs = Programs::of(architecture, &own)?;
    let started = Instant::now();
    let initramfs = own.join("initramfs.cpio");
    let guest = workspace::root().join("tests/guest");
    let sources =
        root::Sources { guest: &guest, target: &target, programs: &programs, tracer: &options.tracer };
    let size = root::write(&initramfs, &sources)?;
    eprintln!("vm: packed {} MB in {:.1} s", size / 1_000_000, started.elapsed().as_secs_f64());
    let mut report = Report::default();
    for series in chosen {
        let guest = boot(series, &own, &initramfs, options);
        eprint!("{guest}");
        report.guests.push(guest);
    }
    Ok(report)
}

fn choose(kernels: &[String], architecture: Architecture) -> Result<Vec<&'static Series>> {
    let all = series(architecture);
    let find = |name: &String| {
        let known = || all.iter().map(|series| series.name).collect::<Vec<_>>().join(", ");
        all.iter()
            .find(|series| series.name == name)
            .with_context(|| format!("no kernel {name}: {}", known()))
    };
    if kernels.is_empty() { Ok(all.iter().collect()) } else { kernels.iter().map(find).collect() }
}

fn boot(series: &'static Series, target: &Path, initramfs: &Path, options: &Options) -> Guest {
    let started = Instant::now();
    let directory = target.join("runs").join(series.name);
    let (architecture, deadline) = (options.architecture, options.deadline);
    let mut package = String::new();
    let booted = series.kernel(&target.join("kernels"), architecture).and_then(|kernel| {
        package.clone_from(&kernel.package);
        eprintln!("vm: booting {package}");
        let kernel = &kernel.image;
        let machine = Machine { kernel, initramfs, architecture, series, directory: &directory, deadline };
        machine.run()
    });
    let sessions = booted.map(|results| report::sessions(&results, series));
    let expected = series.attach.len() + series.refused.len();
    Guest { series: series.name, expected, package, elapsed: started.elapsed(), directory, sessions }
}

/// The standard output of a command that must succeed; its standard error is in the error if it does not.
fn output_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name() {
        let names = |kernels: &[&str]| {
            let kernels: Vec<_> = kernels.iter().map(|&name| name.to_owned()).collect();
            choose(&kernels, Architecture::Amd64)
                .map(|chosen| chosen.iter().map(|series| series.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["5.10", "6.1", "6.12"]);
        assert_eq!(names(&["6.12"]).unwrap(), ["6.12"]);
        assert!(names(&["4.19"]).unwrap_err().to_string().contains("5.10, 6.1, 6.12"));
    }
}
