//! Labels that change while the agent runs.

use std::time::{Duration, Instant};

use tests::kubernetes::{ApiServer, PodSpec, Running};

use super::scene::{Agent, NODE, Scene, id, paths, uid};

/// How long the agent may take to follow a label.
const BOUND: Duration = Duration::from_secs(1);

/// Asks every few milliseconds, for twice the bound, each time for another path; tells when each was asked for.
fn ask(shop: &Running, name: &str) -> Vec<(String, Instant)> {
    let begin = Instant::now();
    let mut asked = Vec::new();
    while begin.elapsed() < 2 * BOUND {
        let path = format!("/{name}/x{}", asked.len());
        asked.push((path.clone(), Instant::now()));
        shop.get(&path).unwrap();
    }
    asked
}

/// How long after `change` the first request was traced, or the last one was.
fn latency(asked: &[(String, Instant)], traced: &[String], change: Instant, is_on: bool) -> Duration {
    let changed =
        asked.iter().find(|(path, _)| traced.contains(path) == is_on).expect("the label was followed");
    assert!(
        asked
            .iter()
            .skip_while(|(path, _)| *path != changed.0)
            .all(|(path, _)| traced.contains(path) == is_on),
        "once followed, a label stays so"
    );
    changed.1.saturating_duration_since(change)
}

fn follows_labels(api: &ApiServer, scene: &Scene, agent: Agent) {
    let without = PodSpec::new(NODE, "cart", &uid(1)).running(&[("app", &id(1))]);
    let with = without.clone().label("app", Some("shop"));
    let pod = scene.kubelet.pod(&uid(1));
    let cart = pod.start(scene.logs(), "cart", &id(1), &[]);
    api.apply(&without.object);
    agent.wait_for_metric("kubernetes_pods", "state=\"known\"", 1);
    cart.get("/before").unwrap();
    let mut changes = Vec::new();
    for (round, spec) in [&with, &without, &with, &without].into_iter().enumerate() {
        let change = Instant::now();
        api.apply(&spec.object);
        changes.push((change, ask(&cart, &round.to_string())));
    }
    let outcome = agent.stop();
    let traced = paths(&outcome.telemetry);
    for (round, (change, asked)) in changes.iter().enumerate() {
        let is_on = round % 2 == 0;
        let took = latency(asked, &traced, *change, is_on);
        println!(
            "label {} after {} ms",
            if is_on { "added: traced" } else { "removed: silent" },
            took.as_millis()
        );
        assert!(took < BOUND, "round {round} took {took:?}");
    }
    assert!(!traced.contains(&"/before".to_owned()));
}

#[test]
fn a_label_is_followed_within_a_second() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-labels", &api);
    let agent = scene.agent(&[]);
    follows_labels(&api, &scene, agent);
}

#[test]
fn also_while_every_watch_breaks_after_a_second() {
    let api = ApiServer::start();
    api.break_watches_after(Some(Duration::from_secs(1)));
    let scene = Scene::new("k8s-broken", &api);
    let agent = scene.agent(&[]);
    follows_labels(&api, &scene, agent);
    let watches = api.requests().iter().filter(|request| request.contains("watch=true")).count();
    let lists = api.requests().len() - watches;
    assert!(
        watches >= 5 && lists == 1,
        "a broken watch goes on where it was: {watches} watches, {lists} lists"
    );
}
