//! The agent's own endpoints.

use tests::dashboard::queries;
use tests::kubernetes::ApiServer;

use super::scene::Scene;

#[test]
fn health_readiness_and_metrics() {
    let api = ApiServer::start();
    let scene = Scene::new("k8s-endpoints", &api);
    let agent = scene.agent(&[]);
    agent.wait_for_metric("kubernetes_api_up", "", 1);
    assert_eq!(agent.ask("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(agent.ask("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(agent.ask("/other").0, 404);
    let (_, metrics) = agent.ask("/metrics");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    for name in [
        "# TYPE tracer_spans_exported counter",
        "tracer_kernel_lost_total{reason=\"ring_full_data\"} 0",
        "tracer_export_dropped_total{sink=\"file\",signal=\"spans\",reason=\"queue_full\"} 0",
        "# TYPE tracer_tables_connections gauge",
        "tracer_process_resident_memory_bytes ",
        "tracer_kubernetes_pods{state=\"known\"} 0",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    the_dashboard_asks_for(&metrics);
    let _ = agent.stop();
}

/// Every metric and label in the dashboard's queries is among those that an agent shows.
fn the_dashboard_asks_for(metrics: &str) {
    let mut asked = 0;
    for query in queries().into_iter().filter(|query| query.source.0 == "prometheus") {
        for name in query.names("tracer_", &['_']) {
            let name = format!("tracer_{name}");
            let samples: Vec<_> =
                metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(&name)).collect();
            assert!(!samples.is_empty(), "{}: there is no metric {name} in\n{metrics}", query.panel);
            for label in query.labels() {
                let has = samples.iter().all(|sample| sample.contains(&format!("{label}=\"")));
                assert!(has, "{}: {name} has no label {label}", query.panel);
            }
            asked += 1;
        }
    }
    assert!(asked > 20, "the dashboard shows the agents' health");
}
