//! The cgroup v2 file system: where it is mounted, and which cgroups lie below a directory.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::enrich::container::container_id;
use crate::enrich::process::{Proc, read_capped};

/// Most bytes read of `mountinfo`: a node with a thousand containers has about 1 MiB.
const MAX_MOUNTINFO: u64 = 16 * 1024 * 1024;

/// Most bytes read of `cgroup.procs`.
const MAX_PROCS: u64 = 1024 * 1024;

/// Most directories visited below one cgroup; the kernel is asked to follow no more either.
const MAX_DIRECTORIES: usize = 16_384;

/// Why a cgroup was not found.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup v2 hierarchy is mounted.
    #[error(
        "no cgroup v2 file system is mounted, which selection by cgroup needs: mount one, or boot with \
             systemd.unified_cgroup_hierarchy=1"
    )]
    NotMounted,
    /// The directory does not exist.
    #[error("there is no cgroup {} below {}", path.display(), mount.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
        /// The mount.
        mount: PathBuf,
    },
    /// The directory exists, but elsewhere: in a v1 hierarchy, for example.
    #[error("{} is not in the cgroup v2 file system mounted at {}", path.display(), mount.display())]
    Outside {
        /// What was asked for.
        path: PathBuf,
        /// The mount.
        mount: PathBuf,
    },
    /// A cgroup has too many below it.
    #[error("{} has more than {MAX_DIRECTORIES} cgroups below it: give one further down", path.display())]
    TooMany {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("{} could not be read", path.display())]
    Io {
        /// What was being read.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The cgroup v2 file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    point: PathBuf,
}

/// A cgroup and all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CgroupTree {
    /// Their ids: the inode numbers of their directories.
    pub(super) ids: Vec<u64>,
    /// The processes in them now.
    pub(super) pids: Vec<u32>,
}

impl CgroupMount {
    /// Finds it in the tracer's own list of mounts. Of several (a pod has its own and may have the host's), the
    /// one that reaches furthest up counts.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`], or [`CgroupError::Io`] when the list cannot be read.
    pub fn find(proc: &Proc) -> Result<Self, CgroupError> {
        let path = proc.root().join("self/mountinfo");
        let bytes = read_capped(&path, MAX_MOUNTINFO).map_err(|source| CgroupError::Io { path, source })?;
        let text = String::from_utf8_lossy(&bytes);
        let mut best: Option<(usize, PathBuf)> = None;
        for (root, point) in text.lines().filter_map(cgroup2_mount) {
            let ups = Path::new(&root).components().filter(|part| *part == Component::ParentDir).count();
            if best.as_ref().is_none_or(|(most, _)| ups > *most) {
                best = Some((ups, PathBuf::from(point)));
            }
        }
        best.map(|(_, point)| Self { point }).ok_or(CgroupError::NotMounted)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// The directory of a cgroup, given by its path in the file system, or below the mount with or without a
    /// slash at the start (as `/proc/PID/cgroup` shows it).
    ///
    /// # Errors
    /// [`CgroupError::Missing`], [`CgroupError::Outside`].
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, CgroupError> {
        let point = self.point.canonicalize().unwrap_or_else(|_| self.point.clone());
        let below = self.point.join(path.strip_prefix("/").unwrap_or(path));
        let inside = |candidate: &Path| {
            let found = candidate.canonicalize().ok().filter(|found| found.is_dir())?;
            found.starts_with(&point).then_some(found)
        };
        if let Some(found) = path.is_absolute().then(|| inside(path)).flatten().or_else(|| inside(&below)) {
            return Ok(found);
        }
        let (path, mount) = (path.to_owned(), self.point.clone());
        Err(if path.is_absolute() && path.is_dir() || below.is_dir() {
            CgroupError::Outside { path, mount }
        } else {
            CgroupError::Missing { path, mount }
        })
    }

    /// Id of the cgroup that a process is in; `None` when it is gone or its cgroup lies outside of the mount.
    #[must_use]
    pub fn id_of(&self, proc: &Proc, pid: u32) -> Option<u64> {
        Some(self.directory_of(proc, pid)?.metadata().ok()?.ino())
    }

    /// The directory of the cgroup that a process is in, as for [`Self::id_of`].
    fn directory_of(&self, proc: &Proc, pid: u32) -> Option<PathBuf> {
        let lines = proc.cgroup(pid).ok()?;
        let line = lines.iter().find(|line| line.hierarchy == 0)?;
        self.resolve(Path::new(&line.path)).ok()
    }

    /// The process that a container began with, given any process in it: of those in the container's own cgroup the
    /// one that started first. `None` outside of containers, and where all are in cgroups further down.
    #[must_use]
    pub fn first_of_container(&self, proc: &Proc, pid: u32) -> Option<u32> {
        let directory = self.directory_of(proc, pid)?;
        let is_container = |path: &&Path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| container_id(name).is_some())
        };
        let container = directory.ancestors().take_while(|path| *path != self.point).find(is_container)?;
        let procs = read_capped(&container.join("cgroup.procs"), MAX_PROCS).ok()?;
        let pids = String::from_utf8_lossy(&procs)
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect::<Vec<u32>>();
        pids.into_iter()
            .filter_map(|pid| Some((proc.stat(pid).ok()?.start_ticks, pid)))
            .min()
            .map(|(_, pid)| pid)
    }

    /// The cgroup in `directory` and all below it. Those that vanish meanwhile are left out.
    pub(super) fn tree(&self, directory: &Path) -> Result<CgroupTree, CgroupError> {
        let mut tree = CgroupTree::default();
        let mut open = vec![directory.to_owned()];
        while let Some(path) = open.pop() {
            if tree.ids.len() == MAX_DIRECTORIES {
                return Err(CgroupError::TooMany { path: directory.to_owned() });
            }
            match visit(&path, &mut tree) {
                Ok(below) => open.extend(below),
                Err(error) if error.kind() == io::ErrorKind::NotFound && path != directory => {}
                Err(source) => return Err(CgroupError::Io { path, source }),
            }
        }
        Ok(tree)
    }
}

/// Takes one cgroup's id and processes; returns the directories in it.
fn visit(path: &Path, tree: &mut CgroupTree) -> io::Result<Vec<PathBuf>> {
    tree.ids.push(path.metadata()?.ino());
    // A threaded cgroup refuses (EOPNOTSUPP); its processes are listed further up.
    let procs = read_capped(&path.join("cgroup.procs"), MAX_PROCS).unwrap_or_default();
    let pids = String::from_utf8_lossy(&procs);
    // 0 stands for a process of another pid namespace.
    tree.pids.extend(pids.lines().filter_map(|line| line.parse().ok()).filter(|pid: &u32| *pid != 0));
    let entries = std::fs::read_dir(path)?.flatten();
    Ok(entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

/// Root within the file system and mount point of a line of `mountinfo` (`proc(5)`), if it is of type cgroup2.
fn cgroup2_mount(line: &str) -> Option<(String, String)> {
    let (mount, file_system) = line.split_once(" - ")?;
    if file_system.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((unescape(fields.next()?), unescape(fields.next()?)))
}

/// Undoes the octal escapes of blanks and backslashes in `mountinfo`.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::fixture::Directory;

    fn mount(root: &Directory) -> CgroupMount {
        let point = root.join("cgroup");
        root.write(
            "self/mountinfo",
            format!(
                "31 23 0:28 / / rw - tmpfs t rw\n41 31 0:38 / {} rw,relatime - cgroup2 cgroup2 rw\n",
                point.display()
            ),
        );
        CgroupMount::find(&Proc::at(&**root)).unwrap()
    }

    #[test]
    fn finds_the_mount_that_reaches_furthest() {
        let root = Directory::new();
        let proc = Proc::at(&*root);
        assert!(matches!(CgroupMount::find(&proc), Err(CgroupError::Io { .. })));
        root.write("self/mountinfo", "1 2 0:3 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
        assert!(matches!(CgroupMount::find(&proc), Err(CgroupError::NotMounted)));
        let own = "41 31 0:38 / /sys/fs/cgroup ro shared:1 - cgroup2 cgroup2 rw\n";
        let host = "42 31 0:38 /../../../.. /host/sys\\040fs ro master:3 - cgroup2 cgroup2 rw\n";
        root.write("self/mountinfo", own);
        assert_eq!(CgroupMount::find(&proc).unwrap().point(), Path::new("/sys/fs/cgroup"));
        for lines in [format!("{own}{host}"), format!("{host}{own}")] {
            root.write("self/mountinfo", lines);
            assert_eq!(CgroupMount::find(&proc).unwrap().point(), Path::new("/host/sys fs"));
        }
    }

    #[test]
    fn resolves_the_three_ways_of_writing_it() {
        let root = Directory::new();
        root.write("cgroup/a.slice/b/cgroup.procs", "");
        root.write("other/c/cgroup.procs", "");
        let mount = mount(&root);
        let wanted = root.join("cgroup/a.slice/b");
        for path in [wanted.to_str().unwrap(), "/a.slice/b", "a.slice/b", "a.slice/b/"] {
            assert_eq!(mount.resolve(Path::new(path)).unwrap(), wanted, "{path}");
        }
        assert_eq!(mount.resolve(Path::new("/")).unwrap(), root.join("cgroup"));
        for path in ["/a.slice/x", "x", "a.slice/b/cgroup.procs"] {
            assert!(matches!(mount.resolve(Path::new(path)), Err(CgroupError::Missing { .. })), "{path}");
        }
        for path in [root.join("other/c").to_str().unwrap(), "../other/c"] {
            assert!(matches!(mount.resolve(Path::new(path)), Err(CgroupError::Outside { .. })), "{path}");
        }
    }

    #[test]
    fn a_container_begins_with_its_oldest_process() {
        let root = Directory::new();
        let mount = mount(&root);
        let id = "ab".repeat(32);
        let container = format!("kubepods/pod1/{id}");
        root.write(&format!("cgroup/{container}/cgroup.procs"), "30\n7\n8\n9\n");
        root.write(&format!("cgroup/{container}/deep/cgroup.procs"), "40\n")
            .write("cgroup/x/cgroup.procs", "50\n");
        for pid in [7, 8, 30, 40, 50] {
            root.process(pid, 1, "/bin/x");
            let path = match pid {
                40 => format!("/{container}/deep"),
                50 => "/x".to_owned(),
                _ => format!("/{container}"),
            };
            root.write(&format!("{pid}/cgroup"), format!("0::{path}\n"));
        }
        let first = |pid| mount.first_of_container(&Proc::at(&*root), pid);
        assert_eq!([first(30), first(7), first(40), first(50)], [Some(7), Some(7), Some(7), None]);
    }

    #[test]
    fn a_tree_has_all_below() {
        let root = Directory::new();
        root.write("cgroup/pod/cgroup.procs", "").write("cgroup/pod/one/cgroup.procs", "5\n6\n");
        root.write("cgroup/pod/one/deep/cgroup.procs", "0\n7\n").write("cgroup/no/cgroup.procs", "8\n");
        let mount = mount(&root);
        let mut tree = mount.tree(&root.join("cgroup/pod")).unwrap();
        tree.pids.sort_unstable();
        assert_eq!(tree.pids, [5, 6, 7]);
        let ino = |path: &str| root.join(path).metadata().unwrap().ino();
        tree.ids.sort_unstable();
        let mut wanted = [ino("cgroup/pod"), ino("cgroup/pod/one"), ino("cgroup/pod/one/deep")];
        wanted.sort_unstable();
        assert_eq!(tree.ids, wanted);
    }
}
