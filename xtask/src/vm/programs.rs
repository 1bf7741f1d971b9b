//! Where a guest's programs come from: this machine, or Debian's packages for another architecture.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt::{self, Apt};
use super::output_of;
use super::sources::{self, Part};
use crate::architecture::Architecture;

/// What a guest runs, when it is not this machine's own.
const PACKAGES: &[&str] = &["busybox-static", "mariadb-server-core", "python3", "redis-server"];
const PYTHON: &str = "/usr/bin/python3";

/// The programs' root directory, and how to find what they are linked with.
pub(super) struct Programs {
    root: PathBuf,
    architecture: Architecture,
}

/// Python's executable, and its library here and in the guest.
pub(super) struct Python {
    pub(super) executable: PathBuf,
    pub(super) library: PathBuf,
    pub(super) place: PathBuf,
}

impl Programs {
    /// This machine's where the architecture is its own; else this release's packages, unpacked once under `directory`.
    pub(super) fn of(architecture: Architecture, directory: &Path) -> Result<Self> {
        if architecture.is_host() {
            return Ok(Self { root: "/".into(), architecture });
        }
        let (root, made) = (directory.join("programs"), directory.join("programs.made"));
        let wanted = PACKAGES.join(" ");
        if fs::read_to_string(&made).is_ok_and(|made| made == wanted) {
            return Ok(Self { root, architecture });
        }
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        fetch(architecture, &directory.join("apt"), &root)?;
        fs::write(made, wanted)?;
        Ok(Self { root, architecture })
    }

    /// The first of these files that there is.
    pub(super) fn first(&self, paths: &[&str], package: &str) -> Result<PathBuf> {
        let found = paths.iter().map(|path| self.here(path)).find(|path| path.is_file());
        found.with_context(|| format!("no {}: install {package}", paths.join(" and no ")))
    }

    /// Where a file of these programs will be in the guest.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        let place = Path::new("/").join(path.strip_prefix(&self.root).unwrap_or(path));
        // `/lib` and its like are links into `/usr` in the guest.
        if place.starts_with("/usr") { place } else { Path::new("/usr").join(relative(&place)) }
    }

    /// Python.
    pub(super) fn python(&self) -> Result<Python> {
        if self.root != Path::new("/") {
            // Debian's link names the version, which names the library.
            let executable = self.here(PYTHON).canonicalize().context("the packages hold no Python")?;
            let place = Path::new("/usr/lib").join(executable.file_name().unwrap_or_default());
            return Ok(Python { executable, library: self.root.join(relative(&place)), place });
        }
        let ask = "import sys, sysconfig; print(sys.executable); print(sysconfig.get_path('stdlib'))";
        let answer = output_of(Command::new(PYTHON).args(["-I", "-c", ask]))?;
        let [executable, library] = answer.lines().collect::<Vec<_>>()[..] else {
            bail!("{PYTHON} does not say where its library is: {answer}");
        };
        Ok(Python { executable: executable.into(), library: library.into(), place: library.into() })
    }

    /// The shared libraries of all these files, the loader included: where each will be in the guest, and where it is.
    pub(super) fn libraries(&self, programs: &[PathBuf]) -> Result<BTreeMap<PathBuf, PathBuf>> {
        let found = if self.root == Path::new("/") { linked_here(programs)? } else { self.linked(programs)? };
        Ok(found.into_iter().map(|path| (self.place(&path), path)).collect())
    }

    fn here(&self, path: &str) -> PathBuf {
        self.root.join(relative(Path::new(path)))
    }

    /// By what the files say they need: another architecture's loader cannot be asked here.
    fn linked(&self, programs: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let triplet = self.architecture.triplet();
        // The root itself for the loader, which is named by its path.
        let directories: Vec<PathBuf> =
            [&format!("lib/{triplet}"), &format!("usr/lib/{triplet}"), "lib", "usr/lib", ""]
                .map(|directory| self.root.join(directory))
                .to_vec();
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut waiting = programs.to_vec();
        while let Some(file) = waiting.pop() {
            for name in needed(&file)? {
                if found.contains_key(&name) {
                    continue;
                }
                let candidate = |directory: &PathBuf| directory.join(relative(Path::new(&name)));
                let library = directories.iter().map(candidate).find(|path| path.exists());
                let library = library
                    .with_context(|| format!("{} needs {name}, which no package brought", file.display()))?;
                waiting.push(library.clone());
                found.insert(name, library);
            }
        }
        Ok(found.into_values().collect())
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Unpacks this release's packages for that architecture.
fn fetch(architecture: Architecture, directory: &Path, root: &Path) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("cannot tell this system's release")?;
    let name = codename(&release).context("/etc/os-release names no release")?;
    let machine = sources::of_this_machine(Path::new("/etc/apt"));
    let suites = sources::candidates(&machine, &[(Part::Main, name)]);
    let suite = suites.first().context("no Debian archive among this machine's apt sources")?;
    eprintln!("vm: fetching {} for {}", PACKAGES.join(", "), architecture.name());
    let apt = Apt::new(directory, suite, architecture)?;
    for package in apt.download_with_dependencies(PACKAGES)? {
        apt::unpack(&package, root)?;
    }
    fs::remove_dir_all(&apt.directory)?;
    Ok(())
}

fn codename(release: &str) -> Option<&str> {
    let line = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(line.trim_matches('"'))
}

/// The libraries that a file names, and its loader.
fn needed(file: &Path) -> Result<Vec<String>> {
    let text =
        output_of(Command::new("readelf").args(["--wide", "--dynamic", "--program-headers"]).arg(file))?;
    Ok(parse_readelf(&text))
}

fn parse_readelf(text: &str) -> Vec<String> {
    let bracketed = |line: &str, before: &str| {
        let (_, rest) = line.split_once(before)?;
        rest.split_once(']').map(|(path, _)| path.to_owned())
    };
    text.lines()
        .filter_map(|line| {
            bracketed(line, "(NEEDED)             Shared library: [")
                .or_else(|| bracketed(line, "Requesting program interpreter: "))
        })
        .collect()
}

/// What this machine's own loader says; none for static files.
fn linked_here(programs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    // It fails for a static file, and says so on the standard error; a missing library is told in its output.
    let output = Command::new("ldd").args(programs).output().context("cannot run ldd")?;
    parse_ldd(&String::from_utf8_lossy(&output.stdout))
}

fn parse_ldd(text: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('\t')) {
        if line.contains("not found") {
            bail!("a library is missing on this machine: {}", line.trim());
        }
        let path = line.split_once("=>").map_or(line, |(_, path)| path).split_whitespace().next();
        libraries.extend(path.filter(|path| path.starts_with('/')).map(PathBuf::from));
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let text = "/usr/bin/a:\n\tlinux-vdso.so.1 (0x00007fb901f72000)\n\
                    \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n/usr/bin/b:\n\tstatically linked\n";
        let expected = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse_ldd(text).unwrap(), expected.map(PathBuf::from));
        assert!(parse_ldd("\tlibm.so.6 => not found\n").is_err());
    }

    #[test]
    fn libraries_are_read_from_readelf() {
        let text = "      [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]\n\
                    Dynamic section at offset 0x1fd0 contains 24 entries:\n\
                    \x20 Tag        Type                         Name/Value\n\
                    \x20 0x0000000000000001 (NEEDED)             Shared library: [libz.so.1]\n\
                    \x20 0x000000000000000e (SONAME)             Library soname: [libq.so.2]\n";
        assert_eq!(parse_readelf(text), ["/lib/ld-linux-aarch64.so.1", "libz.so.1"]);
    }

    #[test]
    fn the_release_is_read_from_os_release() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(codename("ID=arch\n"), None);
    }

    #[test]
    fn files_have_one_place_in_the_guest() {
        let programs = Programs { root: "/t/programs".into(), architecture: Architecture::Arm64 };
        let place = |path: &str| programs.place(Path::new(path)).display().to_string();
        assert_eq!(place("/t/programs/lib/ld-linux-aarch64.so.1"), "/usr/lib/ld-linux-aarch64.so.1");
        assert_eq!(place("/t/programs/usr/lib/a/libm.so.6"), "/usr/lib/a/libm.so.6");
    }
}
