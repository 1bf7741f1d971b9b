//! Debian's cloud kernels, taken by the machine's own apt through a private configuration and kept under `target/vm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::sources::{self, Part, Suite};
use super::{Attach, output_of};

/// Depends on the newest kernel image of its suite.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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

/// All that are tested, oldest first. Within a series the smaller index, which also has the newest build, comes first.
pub const SERIES: [Series; 3] = [
    Series {
        name: "5.10",
        attach: &[Attach::Tracepoint],
        // Its type information lacks `struct pt_regs` for the functions of some calls: "arg0 type FWD is not a struct".
        refused: &[Attach::Fexit],
        suites: &[(Part::Security, "bullseye-security"), (Part::Main, "bullseye")],
    },
    Series {
        name: "6.1",
        attach: &[Attach::Tracepoint, Attach::Fexit],
        refused: &[],
        suites: &[(Part::Security, "bookworm-security"), (Part::Main, "bookworm")],
    },
    Series {
        name: "6.12",
        attach: &[Attach::Tracepoint, Attach::Fexit],
        refused: &[],
        suites: &[
            (Part::Main, "bookworm-backports"),
            (Part::Security, "trixie-security"),
            (Part::Main, "trixie"),
        ],
    },
];

/// A kernel on this machine's disk.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) package: String,
    pub(super) image: PathBuf,
}

impl Series {
    /// The image under `directory`, fetched once; remove the directory to fetch a newer one.
    pub(super) fn kernel(&self, directory: &Path) -> Result<Kernel> {
        let directory = directory.join(self.name);
        let (image, name) = (directory.join("vmlinuz"), directory.join("package"));
        if let (true, Ok(package)) = (image.exists(), fs::read_to_string(&name)) {
            return Ok(Kernel { package, image });
        }
        fs::create_dir_all(&directory)?;
        // The name is written last: its presence means that the image is whole.
        let package = self.fetch(&directory, &image)?;
        fs::write(name, &package)?;
        Ok(Kernel { package, image })
    }

    fn fetch(&self, directory: &Path, image: &Path) -> Result<String> {
        let machine = sources::of_this_machine(Path::new("/etc/apt"));
        let candidates = sources::candidates(&machine, self.suites);
        if candidates.is_empty() {
            bail!("no Debian archive among this machine's apt sources: the guests' kernels come from one");
        }
        let mut refusals = String::new();
        for suite in &candidates {
            match Apt::new(&directory.join("apt"), suite)
                .and_then(|apt| self.fetch_from(&apt, directory, image))
            {
                Ok(package) => return Ok(package),
                Err(error) => refusals.push_str(&format!("\n  {} {}: {error:#}", suite.uri, suite.name)),
            }
        }
        bail!("no suite offers a {} kernel:{refusals}", self.name)
    }

    fn fetch_from(&self, apt: &Apt, directory: &Path, image: &Path) -> Result<String> {
        let package = apt.dependency(META_PACKAGE, &format!("linux-image-{}.", self.name))?;
        eprintln!("vm: fetching {package}");
        let unpacked = directory.join("unpacked");
        output_of(Command::new("dpkg-deb").arg("-x").arg(apt.download(&package)?).arg(&unpacked))?;
        let release = package.trim_start_matches("linux-image-");
        let boot = unpacked.join("boot").join(format!("vmlinuz-{release}"));
        fs::rename(&boot, image).with_context(|| format!("{package} holds no {}", boot.display()))?;
        fs::remove_dir_all(unpacked)?;
        fs::remove_dir_all(&apt.directory)?;
        Ok(package)
    }
}

/// apt with lists, cache and sources of its own, so that the system's stay untouched. The system's other settings
/// (proxies, certificates) hold.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// Knows the packages of one suite afterwards.
    fn new(directory: &Path, suite: &Suite) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: install debian-archive-keyring");
        }
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        let path = |name: &str| -> Result<String> {
            let path = directory.join(name);
            fs::create_dir_all(path.join("partial"))?;
            Ok(path.display().to_string())
        };
        let (lists, cache) = (path("lists")?, path("cache")?);
        fs::create_dir_all(directory.join("cache/archives/partial"))?;
        let list = directory.join("sources.list");
        fs::write(
            &list,
            format!("deb [arch=amd64 signed-by={KEYRING}] {} {} main\n", suite.uri, suite.name),
        )?;
        // Post-Invoke hooks clear the system's cache. Without root there is no other user to drop to. What has left
        // the current archives has indexes that are signed, but no longer renewed.
        let configuration = format!(
            "Dir::Etc::SourceList \"{}\";\nDir::Etc::SourceParts \"/dev/null\";\nDir::State::Lists \"{lists}\";\n\
             Dir::Cache \"{cache}\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Acquire::Check-Valid-Until \"false\";\n\
             #clear APT::Update::Post-Invoke;\n#clear DPkg::Post-Invoke;\n",
            list.display(),
        );
        fs::write(directory.join("apt.conf"), configuration)?;
        let apt = Self { directory: directory.to_owned() };
        output_of(apt.command("apt-get").args(["update", "-qq", "--error-on=any"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.directory.join("apt.conf")).current_dir(&self.directory);
        command.env("LC_ALL", "C");
        command
    }

    /// The package that `meta` depends on, which must be one of the kernels wanted.
    fn dependency(&self, meta: &str, prefix: &str) -> Result<String> {
        let depends = output_of(self.command("apt-cache").args(["depends", meta]))?;
        let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        match package {
            Some(package) if package.starts_with(prefix) => Ok(package.to_owned()),
            Some(package) => bail!("its cloud kernel is {package}"),
            None => bail!("it has no cloud kernel"),
        }
    }

    /// The package's file.
    fn download(&self, package: &str) -> Result<PathBuf> {
        output_of(self.command("apt-get").args(["download", "-qq", package]))?;
        let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
        let mut files = fs::read_dir(&self.directory)?.flatten().map(|entry| entry.path());
        files.find(is_package).context("apt-get download left no file")
    }
}
