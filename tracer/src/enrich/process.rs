//! What `/proc` tells of a process: bounded reads, and parsers that take bytes and cannot fail on odd ones.
//!
//! Formats: `proc(5)`. The parsers are pure; [`Proc`] does the reading, from a root that tests can choose.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Most bytes read of `environ`: the kernel's own limit for one string is 128 KiB, so this holds several.
const MAX_ENVIRON: u64 = 1024 * 1024;

/// Most bytes read of `cmdline`: enough for every Java class path seen so far.
const MAX_CMDLINE: u64 = 256 * 1024;

/// Most bytes read of the small files.
const MAX_SMALL: u64 = 64 * 1024;

/// What the kernel appends to the path of an executable that was replaced while it runs.
const DELETED: &[u8] = b" (deleted)";

/// Why a file of `/proc` did not say what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// The process ended, or never was.
    #[error("there is no process {pid}")]
    Gone {
        /// The process asked for.
        pid: u32,
    },
    /// The kernel refused: another user's process, and no CAP_SYS_PTRACE or CAP_DAC_READ_SEARCH.
    #[error("{file} of process {pid} may not be read: CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH are needed")]
    Denied {
        /// The process asked for.
        pid: u32,
        /// File name below `/proc/PID`.
        file: &'static str,
    },
    /// The process has no such thing: a kernel thread has no executable.
    #[error("process {pid} has no {file}")]
    Absent {
        /// The process asked for.
        pid: u32,
        /// File name below `/proc/PID`.
        file: &'static str,
    },
    /// The file is not in the form that `proc(5)` describes.
    #[error("{file} of process {pid} is not in the expected form")]
    Malformed {
        /// The process asked for.
        pid: u32,
        /// File name below `/proc/PID`.
        file: &'static str,
    },
    /// Any other failure of the read.
    #[error("{file} of process {pid} could not be read")]
    Io {
        /// The process asked for.
        pid: u32,
        /// File name below `/proc/PID`.
        file: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A mounted proc file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// The proc file system mounted at `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of `file` of process `pid`.
    #[must_use]
    pub fn path(&self, pid: u32, file: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(file)
    }

    /// Whether the process exists now.
    #[must_use]
    pub fn exists(&self, pid: u32) -> bool {
        self.root.join(pid.to_string()).is_dir()
    }

    /// All process ids of now, in the directory's order.
    ///
    /// # Errors
    /// When the mount itself cannot be listed.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let entries = std::fs::read_dir(&self.root)?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// The path of the executable, without the mark of a deleted file.
    ///
    /// # Errors
    /// [`ProcError`]; `Absent` for a kernel thread.
    pub fn exe(&self, pid: u32) -> Result<PathBuf, ProcError> {
        let link = self.link(pid, "exe")?;
        let mut bytes = link.into_os_string().into_vec();
        if bytes.ends_with(DELETED) {
            bytes.truncate(bytes.len() - DELETED.len());
        }
        Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }

    /// The target of a symbolic link below `/proc/PID`, such as `ns/net` or `fd/1`.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn link(&self, pid: u32, file: &'static str) -> Result<PathBuf, ProcError> {
        std::fs::read_link(self.path(pid, file)).map_err(|error| self.failure(pid, file, error))
    }

    /// The name of the main thread: at most 15 bytes, and whatever the process made of it.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn comm(&self, pid: u32) -> Result<String, ProcError> {
        let bytes = self.read(pid, "comm", MAX_SMALL)?;
        Ok(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned())
    }

    /// The arguments, the program's name first. Empty for kernel threads and zombies.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn cmdline(&self, pid: u32) -> Result<Vec<String>, ProcError> {
        Ok(parse_cmdline(&self.read(pid, "cmdline", MAX_CMDLINE)?))
    }

    /// The environment that the process was started with.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn environ(&self, pid: u32) -> Result<Environ, ProcError> {
        Ok(Environ::new(self.read(pid, "environ", MAX_ENVIRON)?))
    }

    /// Its cgroup in every hierarchy.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn cgroup(&self, pid: u32) -> Result<Vec<CgroupLine>, ProcError> {
        Ok(parse_cgroup(&self.read(pid, "cgroup", MAX_SMALL)?))
    }

    /// Parent, start time and state.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn stat(&self, pid: u32) -> Result<Stat, ProcError> {
        let bytes = self.read(pid, "stat", MAX_SMALL)?;
        Stat::parse(&bytes).ok_or(ProcError::Malformed { pid, file: "stat" })
    }

    /// Thread group and capabilities.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn status(&self, pid: u32) -> Result<Status, ProcError> {
        let bytes = self.read(pid, "status", MAX_SMALL)?;
        Status::parse(&bytes).ok_or(ProcError::Malformed { pid, file: "status" })
    }

    /// The first `cap` bytes of a file below `/proc/PID`.
    ///
    /// # Errors
    /// [`ProcError`].
    pub fn read(&self, pid: u32, file: &'static str, cap: u64) -> Result<Vec<u8>, ProcError> {
        read_capped(&self.path(pid, file), cap).map_err(|error| self.failure(pid, file, error))
    }

    fn failure(&self, pid: u32, file: &'static str, source: io::Error) -> ProcError {
        match source.kind() {
            io::ErrorKind::PermissionDenied => ProcError::Denied { pid, file },
            // A read of a process that ended after the open gives ESRCH.
            _ if source.raw_os_error() == Some(libc::ESRCH) => ProcError::Gone { pid },
            io::ErrorKind::NotFound if self.exists(pid) => ProcError::Absent { pid, file },
            io::ErrorKind::NotFound => ProcError::Gone { pid },
            _ => ProcError::Io { pid, file, source },
        }
    }
}

/// The first `cap` bytes of a file.
pub(crate) fn read_capped(path: &Path, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(cap).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The strings of `/proc/PID/cmdline`.
#[must_use]
pub fn parse_cmdline(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// The environment of a process: `NAME=value` strings that end in zero bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environ {
    bytes: Vec<u8>,
}

impl Environ {
    /// The environment in the form of `/proc/PID/environ`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The value of a variable; the first one counts, as for `getenv`. Invalid UTF-8 is replaced.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.bytes.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value))
        })
    }

    /// The value of a variable that is set and not empty: the specification treats an empty one as unset.
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }
}

/// One line of `/proc/PID/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupLine {
    /// Hierarchy number; 0 is cgroup v2.
    pub hierarchy: u32,
    /// Controllers of a v1 hierarchy, as written; empty for v2.
    pub controllers: String,
    /// The path below the hierarchy's root, seen from the reader's cgroup namespace.
    pub path: String,
}

/// The lines of `/proc/PID/cgroup`; lines in another form are left out.
#[must_use]
pub fn parse_cgroup(bytes: &[u8]) -> Vec<CgroupLine> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter_map(|line| {
            // The path may contain colons itself: containerd's cgroupfs driver writes `slice:cri-containerd:id`.
            let mut fields = line.splitn(3, ':');
            let hierarchy = fields.next()?.parse().ok()?;
            let controllers = fields.next()?.to_owned();
            Some(CgroupLine { hierarchy, controllers, path: fields.next()?.to_owned() })
        })
        .collect()
}

/// What is used of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// State letter; `Z` is a zombie.
    pub state: char,
    /// Parent process.
    pub parent: u32,
    /// Start time after boot, in clock ticks (hundredths of a second).
    pub start_ticks: u64,
}

impl Stat {
    /// Parses the file; `None` when it is not in the form of `proc(5)`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // The second field is the name in parentheses, and a name may hold both blanks and parentheses.
        let name_end = bytes.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(bytes.get(name_end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // Field 22 of the file; the two consumed above were 3 and 4.
        let start_ticks = fields.nth(22 - 5)?.parse().ok()?;
        Some(Self { state, parent, start_ticks })
    }
}

/// What is used of `/proc/PID/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Thread group: differs from the number asked for when that was a thread's.
    pub tgid: u32,
    /// Effective capabilities, one bit each.
    pub effective_capabilities: u64,
}

impl Status {
    /// Parses the file; `None` when a field is missing.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(Self {
            tgid: field("Tgid:")?.parse().ok()?,
            effective_capabilities: u64::from_str_radix(field("CapEff:")?, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::fixture::Directory;

    #[test]
    fn reads_the_test_process_itself() {
        let proc = Proc::default();
        let pid = std::process::id();
        assert!(proc.exists(pid));
        assert!(proc.pids().unwrap().contains(&pid));
        assert_eq!(proc.exe(pid).unwrap(), std::env::current_exe().unwrap());
        assert_eq!(proc.cmdline(pid).unwrap(), std::env::args().collect::<Vec<_>>());
        assert_eq!(proc.environ(pid).unwrap().get("PATH").as_deref(), std::env::var("PATH").ok().as_deref());
        assert_eq!(proc.stat(pid).unwrap().parent, std::os::unix::process::parent_id());
        assert_eq!(proc.status(pid).unwrap().tgid, pid);
        assert!(proc.cgroup(pid).unwrap().iter().any(|line| line.path.starts_with('/')));
        assert!(!proc.comm(pid).unwrap().is_empty());
    }

    #[test]
    fn tells_gone_from_absent() {
        let root = Directory::new();
        std::fs::create_dir_all(root.join("7")).unwrap();
        let proc = Proc::at(&*root);
        assert!(matches!(proc.exe(7), Err(ProcError::Absent { pid: 7, file: "exe" })));
        assert!(matches!(proc.exe(8), Err(ProcError::Gone { pid: 8 })));
        std::fs::write(root.join("7/stat"), "7 (x) S").unwrap();
        assert!(matches!(proc.stat(7), Err(ProcError::Malformed { pid: 7, file: "stat" })));
    }

    #[test]
    fn drops_the_mark_of_a_deleted_executable() {
        let root = Directory::new();
        std::fs::create_dir_all(root.join("7")).unwrap();
        std::os::unix::fs::symlink("/opt/app (deleted)", root.join("7/exe")).unwrap();
        assert_eq!(Proc::at(&*root).exe(7).unwrap(), Path::new("/opt/app"));
    }

    #[test]
    fn a_name_may_hold_parentheses_and_blanks() {
        let line = b"42 (a) S 1) R 41 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1234 20 21";
        assert_eq!(Stat::parse(line), Some(Stat { state: 'R', parent: 41, start_ticks: 1234 }));
        for end in 0..line.len() - 10 {
            assert_eq!(Stat::parse(&line[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn finds_variables_by_their_whole_name() {
        let environ = Environ::new(b"XA=0\0A=1\0A=2\0EMPTY=\0NOVALUE\0BAD=\xff".to_vec());
        assert_eq!(environ.get("A").as_deref(), Some("1"));
        assert_eq!(environ.get("EMPTY").as_deref(), Some(""));
        assert_eq!(environ.filled("EMPTY"), None);
        assert_eq!(environ.get("NOVALUE"), None);
        assert_eq!(environ.get("BAD").as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn keeps_empty_arguments() {
        assert_eq!(parse_cmdline(b"a\0\0b\0"), ["a", "", "b"]);
        assert!(parse_cmdline(b"").is_empty());
    }

    #[test]
    fn a_cgroup_path_may_hold_colons() {
        let lines = parse_cgroup(b"12:cpu,cpuacct:/a.slice:cri-containerd:1\n0::/b\nnonsense\n");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].path, "/a.slice:cri-containerd:1");
        assert_eq!(lines[1], CgroupLine { hierarchy: 0, controllers: String::new(), path: "/b".into() });
    }
}
