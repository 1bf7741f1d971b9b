//! The guest's only file system: busybox, MariaDB, Redis and Python with all that they load (the machine's own, where the
//! guest's architecture is), the application, and the tracer, as one archive that the kernel unpacks into memory. It is not compressed: of 108 MB, with
//! lz4 a guest was over 0.2 s sooner or later by chance, which packing cost again, and with zstd 1.5 s later.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::cpio::Archive;
use super::programs::Programs;
use super::{mariadb, output_of};

const BUSYBOX: &[&str] = &["/bin/busybox", "/usr/bin/busybox"];
/// What `init` uses of it.
const APPLETS: &[&str] =
    &["sh", "mount", "mkdir", "cut", "ip", "stty", "tar", "gzip", "poweroff", "cat", "dmesg", "sleep"];
const PYTHON: &str = "/usr/bin/python3";
/// Parts of Python's library that no server needs: half its files and two thirds of its size.
const NOT_PACKED: &[&str] = &[
    "dist-packages",
    "distutils",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "unittest",
    "venv",
    "wsgiref",
    "xmlrpc",
    "site-packages",
];

/// Where things lie on the host.
pub(super) struct Sources<'a> {
    /// `tests/guest`.
    pub(super) guest: &'a Path,
    /// `target/vm`.
    pub(super) target: &'a Path,
    /// What is run in it.
    pub(super) programs: &'a Programs,
    /// The tracer's executable.
    pub(super) tracer: &'a Path,
}

/// Writes the archive to `path`: its size in bytes.
pub(super) fn write(path: &Path, sources: &Sources<'_>) -> Result<u64> {
    let mut root = Archive::new(BufWriter::new(File::create(path)?));
    for link in ["bin", "sbin", "lib", "lib64"] {
        root.symlink(Path::new(link), &format!("usr/{link}"))?;
    }
    for directory in ["/proc", "/sys", "/dev", "/tmp", "/run"] {
        root.directory(Path::new(directory))?;
    }
    root.bytes(Path::new("/etc/passwd"), 0o644, b"root:x:0:0:root:/:/bin/sh\n")?;
    root.bytes(Path::new("/etc/hosts"), 0o644, b"127.0.0.1 localhost\n")?;
    busybox(&mut root, sources.programs)?;
    let mut programs = mariadb::pack(&mut root, sources)?;
    programs.extend(python(&mut root, sources)?);
    let redis =
        sources.programs.first(&["/usr/bin/redis-server", "/usr/local/bin/redis-server"], "redis-server")?;
    for (name, source) in [("redis-server", redis.as_path()), ("tracer", sources.tracer)] {
        root.file(&Path::new("/usr/bin").join(name), source)?;
        programs.push(source.to_owned());
    }
    for (place, library) in sources.programs.libraries(&programs)? {
        root.file(&place, &library)?;
    }
    root.tree(Path::new("/guest"), sources.guest, &|path| path.extension().is_some_and(|end| end == "py"))?;
    root.bytes(Path::new("/init"), 0o755, &fs::read(sources.guest.join("init"))?)?;
    root.finish()
}

fn busybox<W: Write>(root: &mut Archive<W>, programs: &Programs) -> Result<()> {
    let busybox = programs.first(BUSYBOX, "busybox-static")?;
    if !programs.libraries(std::slice::from_ref(&busybox))?.is_empty() {
        bail!("{} is not static: install busybox-static", busybox.display());
    }
    root.file(Path::new("/usr/bin/busybox"), &busybox)?;
    for applet in APPLETS {
        root.symlink(&Path::new("/usr/bin").join(applet), "busybox")?;
    }
    Ok(())
}

/// Python with its library and the application's clients: the files that have libraries of their own.
fn python<W: Write>(root: &mut Archive<W>, sources: &Sources<'_>) -> Result<Vec<PathBuf>> {
    let python = sources.programs.python()?;
    root.file(Path::new("/usr/bin/python3"), &python.executable)?;
    root.tree(&python.place, &python.library, &packed)?;
    root.tree(Path::new("/site"), &clients(sources)?, &packed)?;
    let modules = fs::read_dir(python.library.join("lib-dynload"))?.flatten().map(|entry| entry.path());
    Ok(modules
        .filter(|path| path.extension().is_some_and(|end| end == "so"))
        .chain([python.executable])
        .collect())
}

fn packed(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    !NOT_PACKED.contains(&name) && !name.starts_with("config-") && !name.ends_with(".dist-info")
}

/// PyMySQL and redis-py in the versions that `requirements.txt` pins, installed once.
fn clients(sources: &Sources<'_>) -> Result<PathBuf> {
    let requirements = sources.guest.join("requirements.txt");
    let directory = sources.target.join("site");
    let (wanted, installed) = (fs::read(&requirements)?, directory.join("installed"));
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    let mut pip = Command::new(PYTHON);
    pip.args(["-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--target"]);
    output_of(pip.arg(&directory).arg("--requirement").arg(requirements))?;
    fs::write(installed, wanted)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_needs_stays_out() {
        assert!(packed(Path::new("/usr/lib/python3.11/json/decoder.py")));
        assert!(!packed(Path::new("/usr/lib/python3.11/idlelib")));
        assert!(!packed(Path::new("/usr/lib/python3.11/config-3.11-x86_64-linux-gnu")));
    }
}
