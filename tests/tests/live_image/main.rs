//! The image under an OCI runtime, with what the manifest grants and nothing more: read-only, no new privileges, four
//! capabilities, the default seccomp profile, a network of its own.
//!
//! The image is made of the tests' own binary. That one is not static unless `TRACER_BIN` names one that is, so
//! that this machine's libraries are mounted beside it; everything else is as in a cluster.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test's own support fails by panicking, like the test"
)]

mod bundle;
mod runtime;
mod seccomp;

use serde_json::json;
use tests::live::text;
use tests::manifest;
use xtask::testbed::{BackendOptions, Testbed};

use runtime::Runtime;

fn without(missing: &str) -> Vec<String> {
    let granted = manifest::capabilities();
    assert!(granted.iter().any(|capability| capability == missing), "the manifest grants {missing}");
    granted.into_iter().filter(|capability| capability != missing).collect()
}

#[test]
fn it_traces_the_backend_with_the_rights_of_the_manifest() {
    let testbed = Testbed::start("image").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let runtime = Runtime::new(testbed.directory());
    let granted = manifest::capabilities();
    let (code, said) = runtime.run(&["check"], &granted, &granted);
    assert!(code == Some(0) && said.contains("This node can be traced"), "{code:?}: {said}");

    let tracer = runtime.trace(&["--pid", &backend.id().to_string()], &granted);
    let answer = backend.post("/api/db/message", &json!({ "sender": "sender", "body": "text" })).unwrap();
    assert_eq!(answer.status, 201);
    let outcome = tracer.stop();
    let server = outcome.telemetry.servers().next().expect("a server span");
    assert_eq!(text(&server.attributes, "url.path"), Some("/api/db/message"));
    let systems = |system: &str| {
        let is = |span: &&opentelemetry_proto::tonic::trace::v1::Span| {
            text(&span.attributes, "db.system.name") == Some(system)
        };
        outcome.telemetry.children(server).filter(is).count()
    };
    assert!(systems("mariadb") >= 1 && systems("redis") >= 1, "{:?}", outcome.telemetry.spans);
    assert_ne!(outcome.telemetry.lines(server).count(), 0, "its lines are found");
    assert_eq!(outcome.lost_in_all(), 0);
    assert!(!outcome.stderr.contains("lacks"), "{}", outcome.stderr);
}

/// Without the capability the profile refuses bpf(2) too.
#[test]
fn without_a_capability_it_says_which() {
    let testbed = xtask::testbed::RunDirectory::create("image-less").unwrap();
    let runtime = Runtime::new(&testbed);
    for missing in ["BPF", "PERFMON"] {
        let less = without(missing);
        let (code, said) = runtime.run(&["run", "--exe", "nothing"], &less, &less);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("The tracer lacks CAP_{missing}, without which")), "{said}");
    }
}

/// Runtimes of before 2022 let bpf(2) through for CAP_SYS_ADMIN only.
#[test]
fn a_profile_that_refuses_bpf_is_told() {
    let testbed = xtask::testbed::RunDirectory::create("image-old").unwrap();
    let runtime = Runtime::new(&testbed);
    let (code, said) = runtime.run(&["run", "--exe", "nothing"], &manifest::capabilities(), &without("BPF"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a seccomp profile or a security module"), "{said}");
}
