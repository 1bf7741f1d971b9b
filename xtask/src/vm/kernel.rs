//! Debian's cloud kernels, taken by the machine's own apt through a private configuration and kept under `target/vm`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Attach;
use super::apt::{self, Apt};
use super::sources::{self, Part};
use crate::architecture::Architecture;

/// A kernel that the probe must work on.
#[derive(Debug)]
pub struct Series {
    /// As on the command line.
    pub name: &'static str,
    /// How the probe is attached there: every way that this kernel can load.
    pub attach: &'static [Attach],
    /// Ways that it refuses: there the tracer must end with a sentence that says what to do.
    pub refused: &'static [Attach],
    suites: &'static [(Part, &'static str)],
}

/// Where each kernel is looked for. The smaller index, which also has the newest build, comes first.
const SUITES_5_10: &[(Part, &str)] = &[(Part::Security, "bullseye-security"), (Part::Main, "bullseye")];
const SUITES_6_1: &[(Part, &str)] = &[(Part::Security, "bookworm-security"), (Part::Main, "bookworm")];
const SUITES_6_12: &[(Part, &str)] =
    &[(Part::Main, "bookworm-backports"), (Part::Security, "trixie-security"), (Part::Main, "trixie")];

/// All that are tested on x86-64, oldest first.
static AMD64: [Series; 3] = [
    Series {
        name: "5.10",
        attach: &[Attach::Tracepoint],
        // Its type information lacks `struct pt_regs` for the functions of some calls: "arg0 type FWD is not a struct".
        refused: &[Attach::Fexit],
        suites: SUITES_5_10,
    },
    Series { name: "6.1", attach: &[Attach::Tracepoint, Attach::Fexit], refused: &[], suites: SUITES_6_1 },
    Series { name: "6.12", attach: &[Attach::Tracepoint, Attach::Fexit], refused: &[], suites: SUITES_6_12 },
];

/// On arm64, where trampolines at functions came later: 6.1 has none, 6.12 has.
static ARM64: [Series; 3] = [
    Series { name: "5.10", attach: &[Attach::Tracepoint], refused: &[Attach::Fexit], suites: SUITES_5_10 },
    Series { name: "6.1", attach: &[Attach::Tracepoint], refused: &[Attach::Fexit], suites: SUITES_6_1 },
    Series { name: "6.12", attach: &[Attach::Tracepoint, Attach::Fexit], refused: &[], suites: SUITES_6_12 },
];

/// All kernels that are tested on this architecture, oldest first.
#[must_use]
pub fn series(architecture: Architecture) -> &'static [Series] {
    match architecture {
        Architecture::Amd64 => &AMD64,
        Architecture::Arm64 => &ARM64,
    }
}

/// A kernel on this machine's disk.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) package: String,
    pub(super) image: PathBuf,
}

impl Series {
    /// The image under `directory`, fetched once; remove the directory to fetch a newer one.
    pub(super) fn kernel(&self, directory: &Path, architecture: Architecture) -> Result<Kernel> {
        let directory = directory.join(self.name);
        let (image, name) = (directory.join("vmlinuz"), directory.join("package"));
        if let (true, Ok(package)) = (image.exists(), fs::read_to_string(&name)) {
            return Ok(Kernel { package, image });
        }
        fs::create_dir_all(&directory)?;
        // The name is written last: its presence means that the image is whole.
        let package = self.fetch(&directory, &image, architecture)?;
        fs::write(name, &package)?;
        Ok(Kernel { package, image })
    }

    fn fetch(&self, directory: &Path, image: &Path, architecture: Architecture) -> Result<String> {
        let machine = sources::of_this_machine(Path::new("/etc/apt"));
        let candidates = sources::candidates(&machine, self.suites);
        if candidates.is_empty() {
            bail!("no Debian archive among this machine's apt sources: the guests' kernels come from one");
        }
        let mut refusals = String::new();
        for suite in &candidates {
            match Apt::new(&directory.join("apt"), suite, architecture)
                .and_then(|apt| self.fetch_from(&apt, directory, image, architecture))
            {
                Ok(package) => return Ok(package),
                Err(error) => refusals.push_str(&format!("\n  {} {}: {error:#}", suite.uri, suite.name)),
            }
        }
        bail!("no suite offers a {} kernel:{refusals}", self.name)
    }

    fn fetch_from(
        &self,
        apt: &Apt,
        directory: &Path,
        image: &Path,
        architecture: Architecture,
    ) -> Result<String> {
        // Depends on the newest kernel image of its suite.
        let meta = format!("linux-image-cloud-{}", architecture.name());
        let package = apt.dependency(&meta, &format!("linux-image-{}.", self.name))?;
        eprintln!("vm: fetching {package}");
        let unpacked = directory.join("unpacked");
        apt::unpack(&apt.download(&package)?, &unpacked)?;
        let release = package.trim_start_matches("linux-image-");
        let boot = unpacked.join("boot").join(format!("vmlinuz-{release}"));
        fs::rename(&boot, image).with_context(|| format!("{package} holds no {}", boot.display()))?;
        fs::remove_dir_all(unpacked)?;
        fs::remove_dir_all(&apt.directory)?;
        Ok(package)
    }
}
