//! A node with an API server, and the agent on it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::kubernetes::{ApiServer, Kubelet};
use tests::live::{Outcome, Telemetry, Tracer, TracerOptions, text};
use xtask::http::{Address, Client};
use xtask::testbed::RunDirectory;

/// This node's name.
pub const NODE: &str = "node-1";

/// How long something that must happen may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Scene {
    pub kubelet: Kubelet,
    directory: RunDirectory,
    kubeconfig: std::path::PathBuf,
}

impl Scene {
    pub fn new(name: &str, api: &ApiServer) -> Self {
        let directory = RunDirectory::create(name).unwrap();
        let kubeconfig = api.kubeconfig(directory.logs());
        let kubelet = Kubelet::new(name, !name.contains("cgroupfs"));
        let kubelet = if name.contains("crio") { kubelet.with_cri_o() } else { kubelet };
        Self { kubelet, directory, kubeconfig }
    }

    /// The agent, selecting `app=shop` unless the arguments say otherwise.
    pub fn agent(&self, arguments: &[&str]) -> Agent {
        let selector: &[&str] =
            if arguments.contains(&"--pod-selector") { &[] } else { &["--pod-selector", "app=shop"] };
        let arguments = [selector, &["--listen", "127.0.0.1:0"], arguments].concat();
        let options = TracerOptions {
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: vec![
                ("KUBECONFIG".to_owned(), self.kubeconfig.display().to_string()),
                ("NODE_NAME".to_owned(), NODE.to_owned()),
            ],
            ..TracerOptions::default()
        };
        Agent { tracer: Tracer::start_with(&self.directory, options) }
    }

    /// Where the agent's token lies.
    pub fn token_file(&self) -> std::path::PathBuf {
        self.directory.logs().join("token")
    }

    pub fn logs(&self) -> &std::path::Path {
        self.directory.logs()
    }
}

/// The running agent.
pub struct Agent {
    pub tracer: Tracer,
}

impl Agent {
    /// Status and body of one of its own endpoints.
    pub fn ask(&self, path: &str) -> (u16, String) {
        let stderr = self.tracer.stderr();
        let marker = "served at http://";
        let (_, rest) = stderr.split_once(marker).expect("the agent says where it serves");
        let address = rest.lines().next().unwrap().trim();
        let mut client = Client::connect(&Address::Tcp(address.parse().unwrap())).unwrap();
        let response = client.send("GET", path, &[("Connection", "close")], b"").unwrap();
        (response.status, String::from_utf8(response.body).unwrap())
    }

    /// The sum of a metric's samples whose labels contain `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> u64 {
        let (status, metrics) = self.ask("/metrics");
        assert_eq!(status, 200);
        let of = |line: &str| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (found, its) = sample.split_once('{').unwrap_or((sample, ""));
            (found == format!("tracer_{name}") && its.contains(labels)).then(|| value.parse::<u64>().unwrap())
        };
        metrics.lines().filter(|line| !line.starts_with('#')).filter_map(of).sum()
    }

    /// Waits until a metric is as wanted.
    pub fn wait_for_metric(&self, name: &str, labels: &str, wanted: u64) {
        wait_for(
            || self.metric(name, labels) == wanted,
            || {
                format!(
                    "{name}{{{labels}}} is {}, not {wanted}:\n{}",
                    self.metric(name, labels),
                    self.tracer.stderr()
                )
            },
        );
    }

    /// Waits until so many pods are traced.
    pub fn wait_for_traced(&self, pods: u64) {
        self.wait_for_metric("kubernetes_pods", "state=\"traced\"", pods);
    }

    /// Waits until the counters show all that has happened so far.
    pub fn settle(&self) {
        let shown = || self.metric("stats_published_total", "");
        let before = shown();
        // The first one may have been under way.
        wait_for(|| shown() >= before + 2, || "the reader shows no counters".to_owned());
    }

    pub fn wait_for_sentence(&self, sentence: &str) {
        wait_for(
            || self.tracer.stderr().contains(sentence),
            || format!("nobody says {sentence:?}:\n{}", self.tracer.stderr()),
        );
    }

    pub fn stop(self) -> Outcome {
        self.tracer.stop()
    }
}

/// The paths that were asked for, in the order of their spans.
pub fn paths(telemetry: &Telemetry) -> Vec<String> {
    telemetry.servers().filter_map(|span| text(&span.attributes, "url.path").map(str::to_owned)).collect()
}

/// Waits for what another process does.
pub fn wait_for(mut done: impl FnMut() -> bool, why: impl FnOnce() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{}", why());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A uid of the kubelet's form that ends in this number.
pub fn uid(number: u32) -> String {
    format!("cd57f2a1-0b1c-4bd6-9f64-{number:012x}")
}

/// A container id that ends in this number.
pub fn id(number: u32) -> String {
    format!("{number:064x}")
}

/// A pod object of another node.
pub fn elsewhere(mut object: Value) -> Value {
    object["spec"]["nodeName"] = "node-2".into();
    object
}
