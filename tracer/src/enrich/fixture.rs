//! Directories and `/proc` trees for tests.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory of a test's own, removed with everything in it when the test ends.
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tracer-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self { path: path.canonicalize().unwrap() }
    }

    /// Writes a file and the directories above it.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Makes a symbolic link and the directories above it.
    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Writes the files of a process: `exe`, `stat` (with its parent) and `status`.
    pub(crate) fn process(&self, pid: u32, parent: u32, exe: &str) -> &Self {
        let name = Path::new(exe).file_name().unwrap().to_str().unwrap();
        let zeros = "0 ".repeat(17);
        self.write(
            &format!("{pid}/stat"),
            format!("{pid} ({name}) S {parent} {zeros}{} 0", u64::from(pid) * 100),
        );
        self.write(
            &format!("{pid}/status"),
            format!("Name:\t{name}\nTgid:\t{pid}\nCapEff:\t0000000000000000\n"),
        );
        self.write(&format!("{pid}/comm"), format!("{name}\n"));
        self.link(&format!("{pid}/exe"), exe)
    }
}

impl Deref for Directory {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing hangs on it: the directory is in the system's temporary one.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
