//! Containers of every kind, driver and runtime: traced from their first request, and named rightly.

use tests::kubernetes::{ApiServer, PodSpec, Running};
use tests::live::{Telemetry, number, text};

use super::scene::{Agent, NODE, Scene, id, paths, uid};

/// Has the API tell of a pod, and waits until the agent has heard it: events are told in order.
fn tell(api: &ApiServer, agent: &Agent, spec: &PodSpec, others: &mut u64) {
    api.apply(&spec.object);
    *others += 1;
    let mut last = PodSpec::new(NODE, "other", &uid(900 + u32::try_from(*others).unwrap()));
    last.object["metadata"]["name"] = format!("other-{others}").into();
    api.apply(&last.object);
    agent.wait_for_metric("kubernetes_pods", "state=\"known\"", *others + 1);
}

/// Name, id's last digit, and restarts of the container that answered this path.
fn container(telemetry: &Telemetry, path: &str) -> (String, String, i64) {
    let span = telemetry.spans.iter().find(|span| text(&span.item.attributes, "url.path") == Some(path));
    let resource = &span.unwrap_or_else(|| panic!("no span of {path}")).resource.attributes;
    assert_eq!(text(resource, "k8s.pod.uid"), Some(uid(1).as_str()));
    let own = |key: &str| text(resource, key).unwrap_or_default().to_owned();
    let restarts = number(resource, "k8s.container.restart_count").unwrap_or(-1);
    (own("k8s.container.name"), own("container.id").trim_start_matches('0').to_owned(), restarts)
}

#[test]
fn init_sidecar_ephemeral_and_restarted() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-kinds", &api);
    let agent = scene.agent(&[]);
    let mut others = 0;
    let spec = PodSpec::new(NODE, "shop", &uid(1))
        .container_of("initContainers", "setup")
        .container_of("initContainers", "mesh")
        .container_of("ephemeralContainers", "debug");
    tell(&api, &agent, &spec, &mut others);
    let pod = scene.kubelet.pod(&uid(1));
    let start = |name: &str, number: u32| -> Running { pod.start(scene.logs(), name, &id(number), &[]) };
    let scheme = |number: u32| format!("containerd://{}", id(number));

    let setup = start("setup", 1);
    setup.get("/early").unwrap();
    let spec = spec.status_of("initContainerStatuses", "setup", &scheme(1), 0);
    tell(&api, &agent, &spec, &mut others);
    setup.get("/setup").unwrap();
    drop(setup);

    // A sidecar is an init container that stays.
    let (mesh, app) = (start("mesh", 2), start("app", 3));
    let spec = spec.status_of("initContainerStatuses", "mesh", &scheme(2), 0).status_of(
        "containerStatuses",
        "app",
        &scheme(3),
        0,
    );
    tell(&api, &agent, &spec, &mut others);
    mesh.get("/mesh").unwrap();
    app.get("/app").unwrap();

    let debug = start("debug", 4);
    let spec = spec.status_of("ephemeralContainerStatuses", "debug", &scheme(4), 0);
    tell(&api, &agent, &spec, &mut others);
    debug.get("/debug").unwrap();

    // A restart is a new container in a cgroup of its own; its first request comes before anybody knows its id.
    drop(app);
    let app = start("app-again", 5);
    app.get("/unknown-yet").unwrap();
    let spec = spec.status_of("containerStatuses", "app", &scheme(5), 1);
    tell(&api, &agent, &spec, &mut others);
    app.get("/again").unwrap();

    let telemetry = agent.stop().telemetry;
    let expected = [
        ("/setup", "setup", "1", 0),
        ("/mesh", "mesh", "2", 0),
        ("/app", "app", "3", 0),
        ("/debug", "debug", "4", 0),
        ("/again", "app", "5", 1),
    ];
    for (path, name, digit, restarts) in expected {
        assert_eq!(container(&telemetry, path), (name.to_owned(), digit.to_owned(), restarts), "{path}");
    }
    // Of what the kubelet had not reported yet, the pod and the id are known.
    for (path, digit) in [("/early", "1"), ("/unknown-yet", "5")] {
        assert_eq!(container(&telemetry, path).1, digit, "{path}");
    }
}

#[test]
fn cri_os_monitor_is_no_part_of_the_pod() {
    for name in ["k8s-crio-monitor", "k8s-crio-monitor-cgroupfs"] {
        let api = ApiServer::start();
        let scene = Scene::new(name, &api);
        let pod = scene.kubelet.pod(&uid(1));
        // One is there before the pod is selected, the other one comes after it.
        let early = pod.start_monitor(scene.logs(), "early", &id(1));
        let agent = scene.agent(&[]);
        api.apply(&PodSpec::new(NODE, "shop", &uid(1)).object);
        agent.wait_for_traced(1);
        let late = pod.start_monitor(scene.logs(), "late", &id(2));
        let app = pod.start(scene.logs(), "app", &id(2), &[]);
        for (running, path) in [(&early, "/early"), (&late, "/late"), (&app, "/app")] {
            running.get(path).unwrap();
        }
        agent.settle();
        // The pod, the container, and CRI-O's cgroup within that.
        assert_eq!(agent.metric("kernel_selected_cgroups", ""), 3, "{name}");
        let telemetry = agent.stop().telemetry;
        assert_eq!(paths(&telemetry), ["/app"], "{name}");
    }
}

#[test]
fn cri_o_with_either_driver() {
    for name in ["k8s-crio", "k8s-crio-cgroupfs"] {
        let api = ApiServer::start();
        let scene = Scene::new(name, &api);
        let agent = scene.agent(&[]);
        let mut others = 0;
        let spec = PodSpec::new(NODE, "shop", &uid(1));
        tell(&api, &agent, &spec, &mut others);
        let pod = scene.kubelet.pod(&uid(1));
        let app = pod.start(scene.logs(), "app", &id(7), &[]);
        app.get("/first").unwrap();
        let spec = spec.status_of("containerStatuses", "app", &format!("cri-o://{}", id(7)), 2);
        tell(&api, &agent, &spec, &mut others);
        app.get("/named").unwrap();
        let telemetry = agent.stop().telemetry;
        assert_eq!(container(&telemetry, "/named"), ("app".to_owned(), "7".to_owned(), 2), "{name}");
        assert_eq!(container(&telemetry, "/first").1, "7", "{name}");
    }
}
