use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::enrich::fixture::Directory;
use crate::kubernetes::pod::Container;
use crate::kubernetes::rules::{NameGlob, PodRule};

/// What a set of ids sees of the kernel's work: nothing is inherited.
#[derive(Debug, Default)]
struct Selected {
    ids: BTreeSet<u64>,
    found: Vec<u32>,
}

impl CgroupMap for Selected {
    fn prepare(&mut self, _pids: &[u32]) {}

    fn select(&mut self, id: u64) {
        self.ids.insert(id);
    }

    fn deselect(&mut self, id: u64) {
        self.ids.remove(&id);
    }

    fn found(&mut self, pid: u32) {
        self.found.push(pid);
    }
}

fn rules(containers: &[&str]) -> PodRules {
    let containers = containers.iter().map(|name| NameGlob::new(name).unwrap()).collect();
    PodRules(vec![PodRule { selector: Some("app=x".parse().unwrap()), containers, ..PodRule::default() }])
}

fn pod(uid: &str, app: &str) -> Pod {
    let labels = [("app".to_owned(), app.to_owned())].into();
    Pod { uid: uid.to_owned(), cgroup_uid: uid.to_owned(), labels, ..Pod::default() }
}

fn id(path: &Path) -> u64 {
    path.metadata().unwrap().ino()
}

fn follow(containers: &[&str], kept: Vec<PathBuf>) -> Follow<Selected> {
    Follow::new(rules(containers), Selected::default(), kept, Arc::default())
}

fn scanned(root: &Directory) -> BTreeMap<String, PathBuf> {
    cgroups::directories(root).collect()
}

#[test]
fn the_api_and_the_directory_come_in_either_order() {
    let root = Directory::new();
    root.write("a/c1/deep/cgroup.procs", "").write("a/cgroup.procs", "").write("a/c1/cgroup.procs", "7\n0\n");
    let wanted = BTreeSet::from([id(&root.join("a")), id(&root.join("a/c1")), id(&root.join("a/c1/deep"))]);
    for api_first in [true, false] {
        let mut follow = follow(&[], Vec::new());
        for step in [api_first, !api_first] {
            assert!(follow.map.ids.is_empty());
            if step { follow.on_pod(pod("a", "x")) } else { follow.on_scan(scanned(&root)) }
        }
        assert_eq!((&follow.map.ids, follow.map.found.as_slice()), (&wanted, [7].as_slice()));
        assert_eq!(follow.counts(), FollowCounts { known: 1, matching: 1, traced: 1, over_limit: 0 });
    }
}

#[test]
fn a_label_adds_and_removes() {
    let root = Directory::new();
    root.write("a/c1/cgroup.procs", "").write("b/cgroup.procs", "");
    let mut follow = follow(&[], Vec::new());
    follow.on_scan(scanned(&root));
    follow.on_list(vec![pod("a", "y"), pod("b", "y")]);
    assert!(follow.map.ids.is_empty());
    follow.on_pod(pod("a", "x"));
    assert_eq!(follow.map.ids.len(), 2);
    follow.on_pod(pod("a", "y"));
    assert!(follow.map.ids.is_empty());
    follow.on_list(vec![pod("a", "x"), pod("b", "x")]);
    assert_eq!(follow.map.ids.len(), 3);
    follow.on_list(vec![pod("b", "x")]);
    assert_eq!(follow.map.ids, BTreeSet::from([id(&root.join("b"))]));
    follow.on_pod(Pod { opted_out: true, ..pod("b", "x") });
    assert!(follow.map.ids.is_empty());
    assert_eq!((follow.table.len(), follow.counts().known), (1, 1));
    follow.on_pod_gone("b");
    assert_eq!((follow.table.len(), follow.counts()), (0, FollowCounts::default()));
}

#[test]
fn containers_that_are_not_meant_are_taken_out_once_they_are_known() {
    const APP: &str = "40c03570b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f7887378a9";
    let proxy = APP.replace('4', "5");
    let root = Directory::new();
    root.write(&format!("a/{APP}/cgroup.procs"), "").write(&format!("a/{proxy}/deep/cgroup.procs"), "");
    let mut follow = follow(&["app*"], Vec::new());
    follow.on_scan(scanned(&root));
    let container = |name: &str, id: Option<&str>| Container {
        name: name.to_owned(),
        id: id.map(str::to_owned),
        ..Container::default()
    };
    let with = |containers| Pod { containers, ..pod("a", "x") };
    follow.on_pod(with(vec![container("app", None), container("proxy", None)]));
    assert_eq!(follow.map.ids.len(), 4);
    follow.on_pod(with(vec![container("app", Some(APP)), container("proxy", Some(&proxy))]));
    assert_eq!(follow.map.ids, BTreeSet::from([id(&root.join("a")), id(&root.join("a").join(APP))]));
}

#[test]
fn what_is_selected_by_itself_stays() {
    let root = Directory::new();
    root.write("a/c1/cgroup.procs", "");
    let mut follow = follow(&[], vec![root.to_path_buf()]);
    follow.on_scan(scanned(&root));
    follow.on_pod(pod("a", "x"));
    follow.on_pod(pod("a", "y"));
    assert_eq!(follow.map.ids.len(), 2);
}

proptest! {
    /// Whatever happens in whatever order: in the map are the pods that match and have a directory, and no others.
    #[test]
    fn the_map_is_what_the_rules_say(steps in prop::collection::vec((0..3_usize, 0..6_u8), 0..40)) {
        let root = Directory::new();
        let uids = ["a", "b", "c"];
        let mut follow = follow(&[], Vec::new());
        let mut matching = [false; 3];
        for (index, action) in steps {
            let uid = uids[index];
            let path = root.join(uid);
            match action {
                0 | 1 => {
                    matching[index] = action == 0;
                    follow.on_pod(pod(uid, if action == 0 { "x" } else { "y" }));
                }
                2 => {
                    matching[index] = false;
                    follow.on_pod_gone(uid);
                }
                3 => {
                    fs::create_dir_all(path.join("c")).unwrap();
                    follow.on_directory(uid.to_owned(), path);
                }
                4 => {
                    // As the kernel does when a directory is removed.
                    walk(&path, &|_| true, &mut |_, id| { follow.map.ids.remove(&id); });
                    let _ = fs::remove_dir_all(&path);
                    follow.on_directory_gone(uid);
                }
                _ => follow.on_scan(scanned(&root)),
            }
            let mut wanted = BTreeSet::new();
            for (uid, _) in uids.iter().zip(matching).filter(|(_, matches)| *matches) {
                walk(&root.join(uid), &|_| true, &mut |_, id| { wanted.insert(id); });
            }
            prop_assert_eq!(&follow.map.ids, &wanted);
            prop_assert_eq!(follow.counts().traced as usize * 2, wanted.len());
        }
    }
}
