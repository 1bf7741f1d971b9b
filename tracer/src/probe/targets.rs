//! Which processes the user means: found by reading `/proc` and the cgroup file system.

mod cgroup;
mod listen;
mod log_file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::enrich::process::{Proc, ProcError};
use crate::kubernetes::PodRules;

pub use cgroup::{CgroupError, CgroupMount};
pub use log_file::{LogFile, Streams, log_files};

/// `--exe`: a pattern for executables. One with a slash is matched against the whole path, one without against
/// the file name. `*` stops at slashes, `**` does not.
#[derive(Clone, Debug)]
pub struct ExeGlob {
    matcher: GlobMatcher,
    whole_path: bool,
}

impl ExeGlob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When it is not a pattern; the error tells why.
    pub fn new(pattern: &str) -> Result<Self, globset::Error> {
        let matcher = GlobBuilder::new(pattern).literal_separator(true).build()?.compile_matcher();
        Ok(Self { matcher, whole_path: pattern.contains('/') })
    }

    /// Whether the executable at `path` is meant.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        if self.whole_path {
            return self.matcher.is_match(path);
        }
        path.file_name().is_some_and(|name| self.matcher.is_match(name))
    }
}

impl PartialEq for ExeGlob {
    fn eq(&self, other: &Self) -> bool {
        self.matcher.glob() == other.matcher.glob()
    }
}

impl fmt::Display for ExeGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.matcher.glob().glob())
    }
}

/// What the user selected. A process that any part selects is a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// `--pid`: these processes and their descendants.
    pub pids: Vec<u32>,
    /// `--exe`: processes that run such a program, and their descendants.
    pub exes: Vec<ExeGlob>,
    /// `--port`: processes that listen on such a TCP port, and their descendants.
    pub ports: Vec<u16>,
    /// `--cgroup`: processes in these cgroups and those below.
    pub cgroups: Vec<PathBuf>,
    /// `--pod-selector` and the like: processes in such pods, which the API server knows.
    pub pods: PodRules,
}

impl Selection {
    /// Whether nothing at all is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pids.is_empty()
            && self.exes.is_empty()
            && self.ports.is_empty()
            && self.cgroups.is_empty()
            && self.pods.is_empty()
    }

    /// Whether a process that runs `exe` is meant: for programs executed after the start.
    #[must_use]
    pub fn selects_exe(&self, exe: &Path) -> bool {
        self.exes.iter().any(|glob| glob.matches(exe))
    }
}

/// The targets at the start. The probe follows their forks and new cgroups from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Processes selected by themselves, not by a cgroup.
    pub pids: BTreeSet<u32>,
    /// Ids of the selected cgroups and of all below them.
    pub cgroups: BTreeSet<u64>,
    /// Selected processes, by whatever means, whose parent is not selected: their stdout and stderr are logs.
    pub log_roots: BTreeSet<u32>,
    /// All selected processes, by whatever means.
    pub processes: BTreeSet<u32>,
}

/// Why the targets could not be found.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// `--pid` names no process.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// `--pid` names a thread.
    #[error("{tid} is a thread of process {tgid}: give --pid {tgid}")]
    Thread {
        /// What was given.
        tid: u32,
        /// The process that it belongs to.
        tgid: u32,
    },
    /// `--pid` names the tracer.
    #[error("process {0} is the tracer itself, which is never a target")]
    Own(u32),
    /// `--cgroup` names no cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// `/proc` itself cannot be listed.
    #[error("{path} cannot be listed")]
    Proc {
        /// The mount.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Finds the targets that exist now. `own` is the tracer's process id. It is no error when a program or a port
/// selects nothing yet.
///
/// # Errors
/// [`TargetError`]: a process or cgroup that was given does not exist.
pub fn initial(selection: &Selection, proc: &Proc, own: u32) -> Result<Targets, TargetError> {
    check_pids(&selection.pids, proc, own)?;
    let parents = parents(proc)?;
    let mut seeds: BTreeSet<u32> = selection.pids.iter().copied().collect();
    seeds.extend(parents.keys().filter(|pid| proc.exe(**pid).is_ok_and(|exe| selection.selects_exe(&exe))));
    if !selection.ports.is_empty() {
        seeds.extend(listen::listeners(proc, parents.keys().copied(), &selection.ports));
    }
    seeds.remove(&own);
    let mut targets = Targets { pids: descendants(&parents, seeds), ..Targets::default() };
    targets.pids.remove(&own);

    let mut selected = targets.pids.clone();
    if !selection.cgroups.is_empty() {
        let mount = CgroupMount::find(proc)?;
        for path in &selection.cgroups {
            let tree = mount.tree(&mount.resolve(path)?)?;
            targets.cgroups.extend(tree.ids);
            selected.extend(tree.pids);
        }
    }
    selected.remove(&own);
    let is_root = |pid: &u32| parents.get(pid).is_none_or(|parent| !selected.contains(parent));
    targets.log_roots = selected.iter().copied().filter(is_root).collect();
    targets.processes = selected;
    Ok(targets)
}

/// Whether each process exists and may be a target.
///
/// # Errors
/// [`TargetError::NoProcess`], [`TargetError::Thread`], [`TargetError::Own`].
pub fn check_pids(pids: &[u32], proc: &Proc, own: u32) -> Result<(), TargetError> {
    for &pid in pids {
        if pid == own {
            return Err(TargetError::Own(pid));
        }
        match proc.status(pid) {
            Ok(status) if status.tgid != pid => {
                return Err(TargetError::Thread { tid: pid, tgid: status.tgid });
            }
            Err(ProcError::Gone { .. }) => return Err(TargetError::NoProcess(pid)),
            // Anything else shows that it exists; what cannot be read is told when it is needed.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// The parent of every process. One that ends meanwhile is left out.
fn parents(proc: &Proc) -> Result<BTreeMap<u32, u32>, TargetError> {
    let pids = proc.pids().map_err(|source| TargetError::Proc { path: proc.root().to_owned(), source })?;
    Ok(pids.into_iter().filter_map(|pid| Some((pid, proc.stat(pid).ok()?.parent))).collect())
}

/// A process and all below it: one that is selected late may have forked already.
///
/// # Errors
/// [`TargetError::Proc`].
pub fn family(pid: u32, proc: &Proc) -> Result<BTreeSet<u32>, TargetError> {
    Ok(descendants(&parents(proc)?, BTreeSet::from([pid])))
}

/// The processes `seeds` and all below them.
fn descendants(parents: &BTreeMap<u32, u32>, seeds: BTreeSet<u32>) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (&pid, &parent) in parents {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = seeds.clone();
    let mut open: Vec<u32> = seeds.into_iter().collect();
    while let Some(pid) = open.pop() {
        // `insert` is false for known ones, so a loop (ids used again between two reads) ends.
        open.extend(children.get(&pid).into_iter().flatten().copied().filter(|child| found.insert(*child)));
    }
    found
}

#[cfg(test)]
#[path = "targets/tests.rs"]
mod tests;
