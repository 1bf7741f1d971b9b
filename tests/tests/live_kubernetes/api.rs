//! What can go wrong with the API server.

use std::time::Duration;

use tests::kubernetes::{ApiServer, PodSpec, Stall};

use super::scene::{NODE, Scene, id, paths, uid, wait_for};

#[test]
fn away_at_the_start_and_again_later() {
    let api = ApiServer::start();
    let address = api.address();
    let scene = Scene::new("k8s-away", &api);
    drop(api);
    let agent = scene.agent(&[]);
    agent.wait_for_sentence("the API server cannot be asked for pods");
    let (status, why) = agent.ask("/readyz");
    assert_eq!((status, agent.ask("/healthz").0), (503, 200));
    assert!(why.contains("cannot be asked for pods"), "{why}");
    let pod = scene.kubelet.pod(&uid(1));
    let shop = pod.start(scene.logs(), "shop", &id(1), &[]);
    shop.get("/before").unwrap();

    let api = ApiServer::start_on(address);
    api.apply(&PodSpec::new(NODE, "shop", &uid(1)).object);
    agent.wait_for_traced(1);
    agent.wait_for_sentence("the API server answers again");
    assert_eq!(agent.ask("/readyz"), (200, "ok\n".to_owned()));
    shop.get("/known").unwrap();

    // Gone again: the agent goes on with what it knows, and says so once.
    drop(api);
    agent.wait_for_sentence("what is traced stays so");
    wait_for(
        || agent.metric("kubernetes_api_failures_total", "broken") >= 4,
        || "no more attempts".to_owned(),
    );
    shop.get("/alone").unwrap();
    assert_eq!(agent.ask("/readyz").0, 200);
    let outcome = agent.stop();
    assert_eq!(paths(&outcome.telemetry), ["/known", "/alone"]);
    let said = outcome.stderr.matches("cannot be asked for pods").count();
    assert_eq!(said, 2, "one sentence a change of state:\n{}", outcome.stderr);
}

#[test]
fn denied_then_allowed() {
    let api = ApiServer::start();
    api.deny(true);
    api.apply(&PodSpec::new(NODE, "shop", &uid(1)).object);
    let scene = Scene::new("k8s-denied", &api);
    let agent = scene.agent(&[]);
    agent.wait_for_sentence("needs a ClusterRole with the verbs list and watch on pods");
    let (status, why) = agent.ask("/readyz");
    assert!(status == 503 && why.contains("does not let the agent list and watch pods"), "{status} {why}");
    api.deny(false);
    let _pod = scene.kubelet.pod(&uid(1));
    agent.wait_for_traced(1);
    // Pods that were listed are traced before the watch is open.
    agent.wait_for_sentence("the API server answers again");
    assert_eq!(agent.ask("/readyz").0, 200);
    let _ = agent.stop();
}

#[test]
fn a_token_that_expires_is_read_again() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-token", &api);
    let agent = scene.agent(&[]);
    agent.wait_for_metric("kubernetes_lists_total", "", 1);
    api.accept_token("second");
    api.break_watches_after(Some(Duration::from_millis(50)));
    agent.wait_for_sentence("does not accept the agent's token");
    std::fs::write(scene.token_file(), "second").unwrap();
    api.break_watches_after(None);
    agent.wait_for_sentence("the API server answers again");
    api.apply(&PodSpec::new(NODE, "shop", &uid(1)).object);
    let _pod = scene.kubelet.pod(&uid(1));
    agent.wait_for_traced(1);
    let _ = agent.stop();
}

#[test]
fn a_version_that_is_too_old_means_a_new_list() {
    let api = ApiServer::start();
    let shop = PodSpec::new(NODE, "shop", &uid(1)).object;
    api.apply(&shop);
    let scene = Scene::new("k8s-gone", &api);
    let _pods = [scene.kubelet.pod(&uid(1)), scene.kubelet.pod(&uid(2))];
    let agent = scene.agent(&[]);
    agent.wait_for_traced(1);
    // Nobody tells of this deletion: the next list shows it.
    api.delay(Duration::from_millis(100));
    api.delete(&shop);
    api.compact();
    api.apply(&PodSpec::new(NODE, "shop", &uid(2)).object);
    agent.wait_for_metric("kubernetes_lists_total", "", 2);
    agent.wait_for_traced(1);
    agent.wait_for_metric("kubernetes_pods", "state=\"known\"", 1);
    let _ = agent.stop();
}

/// A server that is there and says nothing: no time-out of TCP helps.
#[test]
fn a_server_that_stalls_is_given_up_and_asked_again() {
    for stall in [Stall::Handshake, Stall::Answer, Stall::List] {
        let api = ApiServer::start();
        api.stall(Some(stall));
        api.apply(&PodSpec::new(NODE, "shop", &uid(1)).object);
        let scene = Scene::new("k8s-stalls", &api);
        let agent = scene.agent(&["--api-timeout", "1s"]);
        agent.wait_for_sentence("meanwhile no pod is traced until it does");
        assert!(agent.ask("/readyz").0 == 503 && agent.ask("/healthz").0 == 200, "{stall:?}");
        let failures = ["slow", "broken"].map(|reason| agent.metric("kubernetes_api_failures_total", reason));
        assert_ne!(failures, [0, 0], "{stall:?}");
        api.stall(None);
        let _pod = scene.kubelet.pod(&uid(1));
        agent.wait_for_traced(1);
        agent.wait_for_sentence("the API server answers again");
        assert_eq!(agent.ask("/readyz").0, 200);
        let _ = agent.stop();
    }
}

/// The watch is open, bookmarks came, and then an event stalls in its middle. Its rhythm is known by then.
#[test]
fn a_watch_that_stalls_in_the_middle_of_an_event_is_opened_again() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-half", &api);
    let agent = scene.agent(&["--api-timeout", "1s"]);
    agent.wait_for_metric("kubernetes_api_up", "", 1);
    let opened = || api.requests().iter().filter(|request| request.contains("watch=true")).count();
    assert_eq!(opened(), 1);
    wait_for(|| api.bookmarks() >= 2, || "no bookmarks are sent".to_owned());
    api.stall(Some(Stall::Event));
    api.apply(&PodSpec::new(NODE, "shop", &uid(1)).object);
    let _pod = scene.kubelet.pod(&uid(1));
    agent.wait_for_sentence("the API server does not answer in time");
    assert_ne!(agent.metric("kubernetes_api_failures_total", "slow"), 0);
    api.stall(None);
    agent.wait_for_traced(1);
    assert_eq!(agent.metric("kubernetes_lists_total", ""), 1, "it goes on where it was");
    let _ = agent.stop();
}
