//! Debian's packages by the machine's own apt, of any suite and architecture, without touching the system's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::output_of;
use super::sources::Suite;
use crate::architecture::Architecture;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with lists, cache and sources of its own, so that the system's stay untouched. The system's other settings
/// (proxies, certificates) hold.
pub(super) struct Apt {
    pub(super) directory: PathBuf,
}

impl Apt {
    /// Knows the packages of one suite afterwards, and of none as installed.
    pub(super) fn new(directory: &Path, suite: &Suite, architecture: Architecture) -> Result<Self> {
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
        let (uri, suite, architecture) = (&suite.uri, &suite.name, architecture.name());
        fs::write(&list, format!("deb [arch={architecture} signed-by={KEYRING}] {uri} {suite} main\n"))?;
        let status = directory.join("status");
        fs::write(&status, "")?;
        // Post-Invoke hooks clear the system's cache. Without root there is no other user to drop to. What has left
        // the current archives has indexes that are signed, but no longer renewed.
        let configuration = format!(
            "Dir::Etc::SourceList \"{}\";\nDir::Etc::SourceParts \"/dev/null\";\nDir::State::Lists \"{lists}\";\n\
             Dir::State::Status \"{}\";\nDir::Cache \"{cache}\";\nAPT::Sandbox::User \"root\";\n\
             APT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n\
             Acquire::Languages \"none\";\nAcquire::Check-Valid-Until \"false\";\n\
             #clear APT::Update::Post-Invoke;\n#clear DPkg::Post-Invoke;\n",
            list.display(),
            status.display(),
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
    pub(super) fn dependency(&self, meta: &str, prefix: &str) -> Result<String> {
        let depends = output_of(self.command("apt-cache").args(["depends", meta]))?;
        let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        match package {
            Some(package) if package.starts_with(prefix) => Ok(package.to_owned()),
            Some(package) => bail!("its cloud kernel is {package}"),
            None => bail!("it has no cloud kernel"),
        }
    }

    /// The package's file.
    pub(super) fn download(&self, package: &str) -> Result<PathBuf> {
        output_of(self.command("apt-get").args(["download", "-qq", package]))?;
        let files = packages_in(&self.directory)?;
        files.into_iter().next().context("apt-get download left no file")
    }

    /// The files of these packages and of all that they depend on.
    pub(super) fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let mut command = self.command("apt-get");
        command
            .args(["install", "-qq", "--yes", "--download-only", "--no-install-recommends"])
            .args(packages);
        output_of(&mut command)?;
        packages_in(&self.directory.join("cache/archives"))
    }
}

/// The packages' files in a directory.
fn packages_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    Ok(files.flatten().map(|entry| entry.path()).filter(is_package).collect())
}

/// Unpacks a package's files there.
pub(super) fn unpack(package: &Path, directory: &Path) -> Result<()> {
    output_of(Command::new("dpkg-deb").arg("-x").arg(package).arg(directory)).map(drop)
}
