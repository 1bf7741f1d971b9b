use super::*;
use crate::enrich::fixture::Directory;
use crate::enrich::resource::UNKNOWN_SERVICE;

const CONTAINER: &str = "0::/docker/40c03570b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f7887378a9\n";

fn key(tgid: u32) -> ProcessKey {
    // The fixture's processes start at their id times 100 ticks.
    ProcessKey { tgid, start: u64::from(tgid) * 1_000_000_000 }
}

fn worker(root: &Directory, pid: u32, environ: &str) {
    root.process(pid, 1, "/usr/bin/python3.11");
    root.write(&format!("{pid}/environ"), environ);
    root.write(&format!("{pid}/cgroup"), CONTAINER);
}

fn table(root: &Directory) -> Resources {
    Resources::new(Proc::at(&**root), ResourceDefaults::default(), NonZeroUsize::new(4).unwrap())
}

fn service(resource: &Resource) -> String {
    match &resource.attributes[0].value {
        Value::Str(name) => name.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn workers_of_a_container_share_one_resource() {
    let root = Directory::new();
    for pid in [10, 11] {
        worker(&root, pid, "OTEL_SERVICE_NAME=shop\0");
    }
    worker(&root, 12, "OTEL_SERVICE_NAME=other\0");
    let mut resources = table(&root);
    let first = resources.get(key(10));
    assert!(Arc::ptr_eq(&first, &resources.get(key(11))));
    assert!(Arc::ptr_eq(&first, &resources.get(key(10))));
    assert!(!Arc::ptr_eq(&first, &resources.get(key(12))));
    assert_eq!(resources.counts(), ResourceCounts { read: 3, ..ResourceCounts::default() });
}

#[test]
fn a_child_that_is_gone_has_its_parents_resource() {
    let root = Directory::new();
    worker(&root, 10, "OTEL_SERVICE_NAME=shop\0");
    let mut resources = table(&root);
    resources.forked(key(10), key(20));
    // A grandchild, and the one between is gone as well.
    resources.forked(key(20), key(21));
    assert_eq!(service(&resources.get(key(21))), "shop");
    assert_eq!(service(&resources.get(key(30))), UNKNOWN_SERVICE);
    let counts = resources.counts();
    assert_eq!((counts.read, counts.inherited, counts.unknown), (1, 2, 1));
}

#[test]
fn exec_makes_it_read_again() {
    let root = Directory::new();
    worker(&root, 10, "OTEL_SERVICE_NAME=before\0");
    let mut resources = table(&root);
    assert_eq!(service(&resources.get(key(10))), "before");
    root.write("10/environ", "OTEL_SERVICE_NAME=after\0");
    assert_eq!(service(&resources.get(key(10))), "before");
    resources.executed(key(10));
    assert_eq!(service(&resources.get(key(10))), "after");
    resources.executed(key(10));
    std::fs::remove_dir_all(root.join("10")).unwrap();
    assert_eq!(service(&resources.get(key(10))), "after");
    assert_eq!(resources.counts().inherited, 1);
}

#[test]
fn an_sdk_is_found_in_each_process_by_itself() {
    let root = Directory::new();
    worker(&root, 10, "");
    root.write("10/cmdline", "/v/bin/python3\0/v/bin/opentelemetry-instrument\0gunicorn\0");
    worker(&root, 11, "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318\0");
    worker(&root, 12, "");
    let mut resources = table(&root);
    let mut certain = |pid| resources.identity(key(pid)).sdk.map(|evidence| evidence.is_certain());
    assert_eq!([certain(10), certain(11), certain(12)], [Some(true), Some(false), None]);
    // What it forked and is gone was the same program; what it executed is not.
    resources.forked(key(10), key(20));
    assert!(resources.identity(key(20)).sdk.is_some());
    root.write("10/cmdline", "/bin/sh\0");
    resources.executed(key(10));
    assert!(resources.identity(key(10)).sdk.is_none());
}

#[test]
fn a_used_again_id_is_not_the_process() {
    let root = Directory::new();
    worker(&root, 10, "OTEL_SERVICE_NAME=later\0");
    let mut resources = table(&root);
    resources.set_suspended(0);
    let earlier = ProcessKey { tgid: 10, start: key(10).start - 5 * TICK };
    assert_eq!(service(&resources.get(earlier)), UNKNOWN_SERVICE);
    let exact = ProcessKey { tgid: 10, start: key(10).start + TICK - 1 };
    assert_eq!(service(&resources.get(exact)), "later");
    // The kernel's two clocks differ by the time that the machine slept.
    resources.set_suspended(5 * TICK);
    let slept = ProcessKey { tgid: 10, start: key(10).start - 4 * TICK };
    assert_eq!(service(&resources.get(slept)), "later");
}

#[test]
fn a_zombie_is_gone() {
    let root = Directory::new();
    worker(&root, 10, "");
    root.write("10/stat", format!("10 (python3) Z 1 {}1000 0", "0 ".repeat(17)));
    let mut resources = table(&root);
    assert_eq!(service(&resources.get(key(10))), UNKNOWN_SERVICE);
    assert_eq!(resources.counts().unknown, 1);
}

#[test]
fn a_child_without_memory_is_gone_though_it_is_no_zombie_yet() {
    let root = Directory::new();
    worker(&root, 10, "OTEL_SERVICE_NAME=shop\0");
    worker(&root, 20, "");
    std::fs::remove_file(root.join("20/exe")).unwrap();
    let mut resources = table(&root);
    resources.forked(key(10), key(20));
    assert!(Arc::ptr_eq(&resources.get(key(20)), &resources.get(key(10))));
    assert_eq!(resources.counts().inherited, 1);
}

#[test]
fn is_bounded_and_forgets_dead_resources() {
    let root = Directory::new();
    let mut resources = table(&root);
    for pid in 1..=500 {
        worker(&root, pid, &format!("OTEL_SERVICE_NAME=s{pid}\0"));
        resources.get(key(pid));
    }
    assert_eq!(resources.entries.len(), 4);
    assert_eq!(resources.counts().evicted, 496);
    assert!(resources.interned.by_hash.len() <= 129, "{}", resources.interned.by_hash.len());
}

#[test]
fn reads_the_test_process() {
    let mut resources = Resources::new(Proc::default(), ResourceDefaults::default(), MAX_PROCESSES);
    let pid = std::process::id();
    let resource = resources.get(ProcessKey { tgid: pid, start: 0 });
    let exe = std::env::current_exe().unwrap();
    let expected = std::env::var("OTEL_SERVICE_NAME")
        .unwrap_or_else(|_| exe.file_name().unwrap().to_string_lossy().into_owned());
    assert_eq!(service(&resource), expected);
    assert_eq!(resources.counts().denied, 0);
}

#[test]
fn without_an_environment_the_program_is_known() {
    let root = Directory::new();
    worker(&root, 10, "");
    std::fs::remove_file(root.join("10/environ")).unwrap();
    let mut resources = table(&root);
    assert_eq!(service(&resources.get(key(10))), "python3.11");
    assert_eq!(resources.counts().denied, 1);
}

#[test]
fn a_pod_that_becomes_known_or_changes_names_its_processes_anew() {
    let root = Directory::new();
    worker(&root, 10, "");
    worker(&root, 11, "OTEL_SERVICE_NAME=own\0");
    let uid = "cd57f2a1-0b1c-4bd6-9f64-7e0a4a7f2f6b";
    for pid in [10, 11] {
        root.write(&format!("{pid}/cgroup"), format!("0::/../../pod{uid}/{}\n", "ab".repeat(32)));
    }
    let pods = Arc::new(PodTable::default());
    let mut resources = table(&root);
    resources.set_pods(Arc::clone(&pods));
    assert_eq!(service(&resources.get(key(10))), "python3.11");
    let named =
        |name: &str| Arc::new(Pod { cgroup_uid: uid.to_owned(), name: name.to_owned(), ..Pod::default() });
    pods.insert(&named("shop-1"));
    let first = resources.get(key(10));
    assert_eq!(service(&first), "shop-1");
    // Another pod's change does not make another resource.
    pods.insert(&Arc::new(Pod { cgroup_uid: "other".to_owned(), ..Pod::default() }));
    assert!(Arc::ptr_eq(&first, &resources.get(key(10))));
    pods.insert(&named("shop-2"));
    assert_eq!(service(&resources.get(key(10))), "shop-2");
    assert_eq!(service(&resources.get(key(11))), "own");
    // Its last spans come when the pod is gone already.
    pods.remove(uid);
    assert_eq!(service(&resources.get(key(10))), "shop-2");
    assert_eq!(resources.counts().read, 2);
}

#[test]
fn a_program_that_was_started_by_a_link_has_its_name() {
    let name = |exe: &str, comm: &str, arguments: &str| {
        let root = Directory::new();
        root.process(7, 1, exe).write("7/environ", "").write("7/cmdline", arguments);
        root.write("7/comm", format!("{comm}\n")).write("7/cgroup", "0::/\n");
        service(&table(&root).get(key(7)))
    };
    let redis = "/usr/bin/redis-check-rdb";
    assert_eq!(name(redis, "redis-server", "redis-server *:6379\0"), "redis-server");
    assert_eq!(name(redis, "redis-server", "/usr/bin/redis-server\0--port\0"), "redis-server");
    assert_eq!(name(redis, "bio_close_file", "redis-server *:6379\0"), "redis-check-rdb");
    assert_eq!(name("/usr/bin/python3.11", "gunicorn", "gunicorn: worker [app]\0"), "python3.11");
    assert_eq!(name("/usr/sbin/nginx-debug", "nginx", "nginx: master process\0"), "nginx-debug");
    assert_eq!(name("/usr/sbin/mariadbd", "mariadbd", "/usr/sbin/mariadbd\0"), "mariadbd");
}
