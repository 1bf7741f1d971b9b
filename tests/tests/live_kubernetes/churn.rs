//! Many pods.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use tests::kubernetes::{ApiServer, PodSandbox, PodSpec};

use super::scene::{NODE, Scene, id, uid};

/// Pods at a time.
const PODS: u32 = 300;

/// How long they come and go; `$CHURN_SECONDS` says otherwise.
const CHURN: Duration = Duration::from_secs(5);

fn churn() -> Duration {
    let given = std::env::var("CHURN_SECONDS").ok();
    given.map_or(CHURN, |seconds| Duration::from_secs(seconds.parse().expect("$CHURN_SECONDS is a number")))
}

/// The agent's own resident memory, in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Makes a pod of this number: every third matches. The directory comes before or after the API's word.
fn make(api: &ApiServer, scene: &Scene, number: u32) -> (PodSpec, PodSandbox) {
    let app = if number.is_multiple_of(3) { "shop" } else { "other" };
    let mut spec = PodSpec::new(NODE, app, &uid(number)).running(&[("app", &id(number))]);
    spec.object["metadata"]["name"] = format!("{app}-{number}").into();
    if number.is_multiple_of(2) {
        api.apply(&spec.object);
    }
    let pod = scene.kubelet.pod(&uid(number));
    let _ = pod.container(&id(number));
    if !number.is_multiple_of(2) {
        api.apply(&spec.object);
    }
    (spec, pod)
}

#[test]
fn three_hundred_pods_come_and_go_without_leak_or_drift() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-churn", &api);
    let agent = scene.agent(&[]);
    let mut pods: BTreeMap<u32, _> = (0..PODS).map(|number| (number, make(&api, &scene, number))).collect();
    agent.wait_for_traced(u64::from(PODS / 3));
    let begin = Instant::now();
    let before = resident(agent.tracer.id());
    let mut next = PODS;
    let churn = churn();
    while begin.elapsed() < churn {
        let (number, (spec, pod)) = pods.pop_first().unwrap();
        if number.is_multiple_of(5) {
            api.delete(&spec.object);
            drop(pod);
        } else {
            drop(pod);
            api.delete(&spec.object);
        }
        pods.insert(next, make(&api, &scene, next));
        if next.is_multiple_of(50) {
            api.compact();
        }
        next += 1;
    }
    let matching = pods.keys().filter(|number| *number % 3 == 0).count() as u64;
    agent.wait_for_metric("kubernetes_pods", "state=\"known\"", u64::from(PODS));
    agent.wait_for_traced(matching);
    // The pod's cgroup and its container's, of each pod that matches; of no other.
    agent.wait_for_metric("kernel_selected_cgroups", "", 2 * matching);
    let after = resident(agent.tracer.id());
    println!(
        "{} pods came and went in {} s; resident {} KiB, then {} KiB",
        next - PODS,
        churn.as_secs(),
        before >> 10,
        after >> 10
    );
    assert!(next > PODS + 100, "too little happened: {next}");
    assert!(after < before + (8 << 20), "memory grew from {before} to {after}");
    for (spec, pod) in pods.into_values() {
        drop(pod);
        api.delete(&spec.object);
    }
    agent.wait_for_traced(0);
    agent.wait_for_metric("kernel_selected_cgroups", "", 0);
    let outcome = agent.stop();
    assert!(outcome.telemetry.spans.is_empty());
}

#[test]
fn memory_with_a_thousand_pods_known_and_a_hundred_traced() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-memory", &api);
    let idle = scene.agent(&["--pod-selector", "app=none"]);
    idle.wait_for_metric("kubernetes_lists_total", "", 1);
    let before = resident(idle.tracer.id());
    let _ = idle.stop();
    let mut pods = Vec::new();
    for number in 0..1000 {
        let app = if number < 100 { "shop" } else { "other" };
        let mut spec = PodSpec::new(NODE, app, &uid(number)).running(&[("app", &id(number))]);
        spec.object["metadata"]["name"] = format!("{app}-{number}").into();
        api.apply(&spec.object);
        if number < 100 {
            let pod = scene.kubelet.pod(&uid(number));
            let _ = pod.container(&id(number));
            pods.push(pod);
        }
    }
    let agent = scene.agent(&[]);
    agent.wait_for_traced(100);
    agent.wait_for_metric("kubernetes_pods", "state=\"known\"", 1000);
    let after = resident(agent.tracer.id());
    println!(
        "resident: {} KiB with no pods, {} KiB with 1000 known and 100 traced",
        before >> 10,
        after >> 10
    );
    assert!(after < before + (24 << 20), "a thousand pods take {} KiB", (after - before) >> 10);
    assert!(api.requests().iter().any(|request| request.contains("continue=")), "the list comes in pages");
    let _ = agent.stop();
}
