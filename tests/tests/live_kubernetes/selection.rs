//! Which pods are traced, from when on, and what they are called.

use tests::kubernetes::{ApiServer, PodSpec};
use tests::live::{number, text};

use super::scene::{NODE, Scene, elsewhere, id, paths, uid, wait_for};

#[test]
fn the_first_request_of_a_matching_pod_and_nothing_of_others() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-first", &api);
    api.apply(&PodSpec::new(NODE, "other", &uid(2)).object);
    api.apply(&elsewhere(PodSpec::new(NODE, "shop", &uid(3)).object));
    let agent = scene.agent(&["--cluster-name", "aks-145", "--resource-attribute", "cloud.provider=azure"]);
    agent.wait_for_metric("kubernetes_pods", "state=\"known\"", 1);

    // Another pod: not one event of it.
    let other = scene.kubelet.pod(&uid(2));
    let silent = other.start(scene.logs(), "other", &id(2), &[]);
    let events = || {
        ["data", "log", "connection", "process", "cgroup"]
            .map(|kind| agent.metric(&format!("events_{kind}_total"), ""))
    };
    let before = events();
    for request in 0..20 {
        assert_eq!(silent.get(&format!("/other/{request}")).unwrap(), "HTTP/1.1 200 OK");
    }

    agent.settle();
    assert_eq!(events(), before, "a pod that does not match cost events");

    // The API tells of a pod long before the kubelet makes its cgroup, and of its container long after it started.
    let spec = PodSpec::new(NODE, "shop", &uid(1)).annotation("resource.opentelemetry.io/team", "till");
    api.apply(&spec.object);
    let pod = scene.kubelet.pod(&uid(1));
    let shop = pod.start(scene.logs(), "shop", &id(1), &[]);
    assert_eq!(shop.get("/first").unwrap(), "HTTP/1.1 200 OK");
    api.apply(&spec.running(&[("app", &id(1))]).object);
    // Told in order: once the agent knows of this one, it knows of the container too.
    let mut last = PodSpec::new(NODE, "other", &uid(4));
    last.object["metadata"]["name"] = "last".into();
    api.apply(&last.object);
    agent.wait_for_metric("kubernetes_pods", "state=\"known\"", 3);
    shop.get_as("/healthz", "kube-probe/1.33").unwrap();
    shop.get("/second").unwrap();
    let outcome = agent.stop();
    assert_eq!(paths(&outcome.telemetry), ["/first", "/second"]);
    assert_eq!(outcome.lost_in_all(), 0);

    let span = outcome
        .telemetry
        .spans
        .iter()
        .find(|span| text(&span.item.attributes, "url.path") == Some("/second"));
    let resource = &span.unwrap().resource.attributes;
    let name = "shop-6d4cf56db6-x2x4z";
    for (key, value) in [
        ("service.name", "shop"),
        ("service.namespace", "sales"),
        ("service.version", "2.1@sha256:aa"),
        ("service.instance.id", &format!("sales.{name}.app")),
        ("k8s.namespace.name", "sales"),
        ("k8s.pod.name", name),
        ("k8s.pod.uid", &uid(1)),
        ("k8s.node.name", NODE),
        ("k8s.deployment.name", "shop"),
        ("k8s.replicaset.name", "shop-6d4cf56db6"),
        ("k8s.container.name", "app"),
        ("k8s.cluster.name", "aks-145"),
        ("container.id", &id(1)),
        ("container.image.name", "registry.example/shop"),
        ("cloud.provider", "azure"),
        ("team", "till"),
        ("host.name", NODE),
    ] {
        assert_eq!(text(resource, key), Some(value), "{key} of {resource:?}");
    }
    assert_eq!(number(resource, "k8s.container.restart_count"), Some(0));
    let lines: Vec<_> = outcome.telemetry.lines(&span.unwrap().item).collect();
    assert_eq!(lines.len(), 1, "one line was logged for the request");
    let log = outcome.telemetry.logs.iter().find(|log| log.item.span_id == span.unwrap().item.span_id);
    assert_eq!(log.unwrap().resource, span.unwrap().resource, "spans and logs share one resource");
}

#[test]
fn a_container_names_itself_and_container_filters_narrow_cgroupfs() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-cgroupfs", &api);
    let spec = PodSpec::new(NODE, "shop", &uid(1)).container("proxy").container("debug");
    let running = spec.clone().running(&[("app", &id(1)), ("proxy", &id(2))]);
    api.apply(&running.object);
    let pod = scene.kubelet.pod(&uid(1));
    let app = pod.start(scene.logs(), "app", &id(1), &[("OTEL_SERVICE_NAME", "own-name")]);
    let proxy = pod.start(scene.logs(), "proxy", &id(2), &[]);
    let agent = scene.agent(&["--pod-selector", "app in (shop),!none", "--container", "app*"]);
    agent.wait_for_traced(1);
    app.get("/app").unwrap();
    proxy.get("/proxy").unwrap();

    // The container is restarted, and another one comes that is not meant. (Of a process that is gone before its first
    // event was read nothing is known.)
    agent.settle();
    drop(app);
    let app = pod.start(
        scene.logs(),
        "app-again",
        &id(3),
        &[("OTEL_RESOURCE_ATTRIBUTES", "k8s.container.name=mine")],
    );
    app.get("/again").unwrap();
    let debug = pod.start(scene.logs(), "debug", &id(4), &[]);
    let known = agent.metric("events_cgroup_total", "");
    api.apply(&spec.running(&[("app", &id(3)), ("proxy", &id(2)), ("debug", &id(4))]).object);
    wait_for(
        || {
            agent.settle();
            let before = agent.metric("events_data_total", "");
            debug.get("/probe").unwrap();
            agent.settle();
            agent.metric("events_data_total", "") == before
        },
        || format!("the container that is not meant is still traced ({known} cgroups)"),
    );
    debug.get("/debug").unwrap();
    let outcome = agent.stop();
    let told: Vec<_> = paths(&outcome.telemetry).into_iter().filter(|path| path != "/probe").collect();
    assert_eq!(told, ["/app", "/again"]);
    let resource = |path: &str| {
        let of = |span: &&tests::sink::Collected<_>| {
            let span: &opentelemetry_proto::tonic::trace::v1::Span = &span.item;
            text(&span.attributes, "url.path") == Some(path)
        };
        outcome.telemetry.spans.iter().find(of).unwrap().resource.attributes.clone()
    };
    assert_eq!(text(&resource("/app"), "service.name"), Some("own-name"));
    assert_eq!(text(&resource("/app"), "k8s.container.name"), Some("app"));
    assert_eq!(text(&resource("/again"), "service.name"), Some("shop"));
    assert_eq!(text(&resource("/again"), "k8s.container.name"), Some("mine"));
    assert_eq!(text(&resource("/again"), "container.id"), Some(id(3).as_str()));
}

#[test]
fn a_pod_that_is_deleted_and_made_again() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-again", &api);
    let agent = scene.agent(&[]);
    for round in 1..=3 {
        let spec = PodSpec::new(NODE, "shop", &uid(round));
        api.apply(&spec.object);
        let pod = scene.kubelet.pod(&uid(round));
        let shop = pod.start(scene.logs(), &format!("shop-{round}"), &id(round), &[]);
        shop.get(&format!("/{round}")).unwrap();
        drop((shop, pod));
        api.delete(&spec.object);
        agent.wait_for_traced(0);
    }
    agent.wait_for_metric("kernel_selected_cgroups", "", 0);
    let outcome = agent.stop();
    assert_eq!(paths(&outcome.telemetry), ["/1", "/2", "/3"]);
}

#[test]
fn a_static_pod_and_one_that_opted_out() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-static", &api);
    let hash = "d63b0f0ee0d84a2e2f2c2e7c0a4f9a11";
    let mirror = PodSpec::new(NODE, "shop", &uid(1))
        .annotation("kubernetes.io/config.hash", hash)
        .annotation("kubernetes.io/config.mirror", hash);
    api.apply(&mirror.object);
    let mut silent = PodSpec::new(NODE, "shop", &uid(2)).annotation("tracer/trace", "false");
    silent.object["metadata"]["name"] = "opted-out".into();
    api.apply(&silent.object);
    let agent = scene.agent(&[]);
    let pods = [scene.kubelet.pod(hash), scene.kubelet.pod(&uid(2))];
    let of_file = pods[0].start(scene.logs(), "static", &id(1), &[]);
    let opted_out = pods[1].start(scene.logs(), "opted-out", &id(2), &[]);
    agent.wait_for_traced(1);
    opted_out.get("/opted-out").unwrap();
    of_file.get("/static").unwrap();
    let outcome = agent.stop();
    assert_eq!(paths(&outcome.telemetry), ["/static"]);
    let resource = &outcome.telemetry.spans[0].resource.attributes;
    assert_eq!(text(resource, "k8s.pod.uid"), Some(uid(1).as_str()));
}
