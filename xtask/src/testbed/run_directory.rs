//! The directory of one run: `target/testbed/<name>-<process id>-<number>`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::is_alive;
use crate::workspace;

/// `sun_path` holds 108 bytes, the terminating zero included (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// How long the logs of a run that has ended are kept.
const KEEP_LOGS: Duration = Duration::from_secs(3600);

/// A directory whose data goes when the run ends, and whose logs stay for a while.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    sockets: PathBuf,
}

impl RunDirectory {
    /// Makes a fresh directory, and removes what ended runs left behind.
    ///
    /// # Errors
    /// When `target` cannot be written.
    pub fn create(name: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let parent = parent();
        prune(&parent);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{name}-{}-{number}", process::id()));
        let data = path.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        // Deep checkouts: the name of a socket must be short.
        let sockets = if path.as_os_str().len() + "/data/mariadb.sock".len() <= MAX_SOCKET_PATH {
            data
        } else {
            let short = std::env::temp_dir().join(format!("testbed-{}-{number}", process::id()));
            fs::create_dir_all(&short).with_context(|| format!("cannot create {}", short.display()))?;
            short
        };
        Ok(Self { path, sockets })
    }

    /// Where logs go.
    pub fn logs(&self) -> &Path {
        &self.path
    }

    /// A path for data that ends with the run.
    pub fn data(&self, name: &str) -> PathBuf {
        self.path.join("data").join(name)
    }

    /// A path for a Unix socket, short enough for the kernel.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.sockets.join(format!("{name}.sock"))
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = fs::remove_dir_all(self.path.join("data"));
        let _ = fs::remove_dir_all(&self.sockets);
    }
}

/// Where all runs, and what they share, are kept.
pub(super) fn parent() -> PathBuf {
    workspace::target().join("testbed")
}

fn prune(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.rsplit('-').nth(1)).and_then(|id| id.parse().ok());
        if owner.is_none_or(is_alive) {
            continue;
        }
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        let gone =
            if age.is_some_and(|age| age > KEEP_LOGS) { entry.path() } else { entry.path().join("data") };
        // Another process may be pruning too.
        let _ = fs::remove_dir_all(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_and_logs_stay() {
        let directory = RunDirectory::create("unit").unwrap();
        fs::write(directory.data("x"), "x").unwrap();
        let logs = directory.logs().to_owned();
        fs::write(logs.join("a.err"), "x").unwrap();
        drop(directory);
        assert!(logs.join("a.err").is_file() && !logs.join("data").exists());
        fs::remove_dir_all(logs).unwrap();
    }
}
