use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::enrich::fixture::Directory;

/// 1 ── 10 nginx ── 11 nginx
///   ├─ 20 sh ── 21 python3 ── 22 worker
///   └─ 30 tracer
fn tree() -> Directory {
    let root = Directory::new();
    root.process(1, 0, "/sbin/init").process(10, 1, "/usr/sbin/nginx").process(11, 10, "/usr/sbin/nginx");
    root.process(20, 1, "/bin/sh").process(21, 20, "/usr/bin/python3.11").process(22, 21, "/opt/worker");
    root.process(30, 20, "/usr/bin/tracer");
    root
}

fn find(root: &Directory, selection: &Selection) -> Targets {
    initial(selection, &Proc::at(&**root), 30).unwrap()
}

fn exe(pattern: &str) -> Selection {
    Selection { exes: vec![ExeGlob::new(pattern).unwrap()], ..Selection::default() }
}

#[test]
fn a_process_brings_its_descendants_but_never_the_tracer() {
    let root = tree();
    let targets = find(&root, &Selection { pids: vec![20], ..Selection::default() });
    assert_eq!(targets.pids, BTreeSet::from([20, 21, 22]));
    assert_eq!(targets.log_roots, BTreeSet::from([20]));
    let all = find(&root, &exe("*"));
    assert!(!all.pids.contains(&30));
}

#[test]
fn programs_by_name_or_path() {
    let root = tree();
    assert_eq!(find(&root, &exe("python3*")).pids, BTreeSet::from([21, 22]));
    assert_eq!(find(&root, &exe("/usr/*/nginx")).pids, BTreeSet::from([10, 11]));
    assert_eq!(find(&root, &exe("/usr/*")).pids, BTreeSet::new());
    assert_eq!(find(&root, &exe("/usr/**")).pids, BTreeSet::from([10, 11, 21, 22]));
    let both =
        Selection { exes: vec![ExeGlob::new("nginx").unwrap()], pids: vec![22], ..Selection::default() };
    let targets = find(&root, &both);
    assert_eq!(targets.pids, BTreeSet::from([10, 11, 22]));
    assert_eq!(targets.log_roots, BTreeSet::from([10, 22]));
    assert!(ExeGlob::new("a[").is_err());
}

#[test]
fn ports_select_their_listeners_in_every_namespace() {
    let root = tree();
    for (pid, namespace, inode) in [(10, 1, 500), (21, 2, 600)] {
        let entry = format!("sl\n0: 00000000:0050 00000000:0000 0A 0:0 00:0 0 0 0 {inode} 1\n");
        root.link(&format!("{pid}/ns/net"), &format!("net:[{namespace}]"));
        root.write(&format!("{pid}/net/tcp"), entry);
        root.link(&format!("{pid}/fd/3"), &format!("socket:[{inode}]"));
    }
    let targets = find(&root, &Selection { ports: vec![80], ..Selection::default() });
    assert_eq!(targets.pids, BTreeSet::from([10, 11, 21, 22]));
    assert_eq!(find(&root, &Selection { ports: vec![81], ..Selection::default() }), Targets::default());
}

#[test]
fn cgroups_select_by_id_and_their_first_processes_log() {
    let root = tree();
    let cgroup = root.join("cgroup");
    root.write("self/mountinfo", format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", cgroup.display()));
    root.write("cgroup/pod/cgroup.procs", "").write("cgroup/pod/main/cgroup.procs", "21\n22\n30\n");
    let targets = find(&root, &Selection { cgroups: vec!["pod".into()], ..Selection::default() });
    assert_eq!(targets.cgroups.len(), 2);
    assert_eq!(targets.pids, BTreeSet::new());
    assert_eq!(targets.log_roots, BTreeSet::from([21]));
    let missing = Selection { cgroups: vec!["none".into()], ..Selection::default() };
    let error = initial(&missing, &Proc::at(&*root), 30).unwrap_err();
    assert!(matches!(error, TargetError::Cgroup(CgroupError::Missing { .. })), "{error}");
}

#[test]
fn what_cannot_be_a_target_is_said() {
    let root = tree();
    root.write("23/status", "Tgid:\t22\nCapEff:\t0\n");
    let error = |pid| {
        let selection = Selection { pids: vec![pid], ..Selection::default() };
        initial(&selection, &Proc::at(&*root), 30).unwrap_err().to_string()
    };
    assert_eq!(error(99), "there is no process 99");
    assert_eq!(error(30), "process 30 is the tracer itself, which is never a target");
    assert_eq!(error(23), "23 is a thread of process 22: give --pid 22");
    let nowhere = Proc::at(root.join("nowhere"));
    assert!(matches!(initial(&exe("*"), &nowhere, 30), Err(TargetError::Proc { .. })));
}

/// A shell with a child of its own, ended with the test.
struct Family(Child);

impl Family {
    fn start() -> Self {
        let shell =
            Command::new("sh").args(["-c", "sleep 60 & echo ready; wait"]).stdout(Stdio::piped()).spawn();
        let mut child = shell.unwrap();
        let mut line = String::new();
        BufRead::read_line(&mut BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
        Self(child)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let id = self.0.id();
        for (pid, parent) in parents(&Proc::default()).unwrap() {
            if parent == id {
                Command::new("kill").arg(pid.to_string()).status().unwrap();
            }
        }
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_real_process_and_its_child() {
    let family = Family::start();
    let id = family.0.id();
    let selection = Selection { pids: vec![id], ..Selection::default() };
    let targets = initial(&selection, &Proc::default(), std::process::id()).unwrap();
    assert_eq!(targets.pids.len(), 2, "{targets:?}");
    assert_eq!(targets.log_roots, BTreeSet::from([id]));
    let own = Selection { pids: vec![std::process::id()], ..Selection::default() };
    assert!(matches!(initial(&own, &Proc::default(), std::process::id()), Err(TargetError::Own(_))));
}
