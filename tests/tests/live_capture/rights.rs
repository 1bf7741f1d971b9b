//! The tracer with exactly the rights of the manifest, and with each of them taken away.
//!
//! `setpriv` bounds the capabilities as a container runtime does, with no_new_privs; the root file system is read-only
//! in a mount namespace of its own. The target belongs to another user.

use std::ffi::OsString;
use std::process::Command;

use serde_json::json;
use tests::live::{Outcome, Tracer, TracerOptions, text};
use tests::manifest;

use super::hands::Hands;
use super::scene::{Scene, accepted, serve};
use super::seen::{assert_whole, echoed, served};

/// Makes the root read-only but for `$1`, then runs the rest.
const READ_ONLY: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
shift
mount -o remount,bind,ro /
exec "$@"
"#;

/// The capabilities that the manifest adds, in the words of setpriv.
fn granted() -> Vec<String> {
    manifest::capabilities().iter().map(|capability| capability.to_lowercase()).collect()
}

/// What runs the tracer with these capabilities and no others.
fn wrapper(scene: &Scene, capabilities: &[String]) -> Vec<OsString> {
    let mut bounding = String::from("--bounding-set=-all");
    for capability in capabilities {
        bounding.push_str(",+");
        bounding.push_str(capability);
    }
    let words = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"].map(OsString::from);
    let directory = scene.directory.logs().as_os_str().to_owned();
    let rights = ["setpriv", &bounding, "--inh-caps=-all", "--no-new-privs"].map(OsString::from);
    words.into_iter().chain([directory]).chain(rights).collect()
}

/// A program of another user, that names itself by its environment.
fn foreign(scene: &Scene) -> Hands {
    Hands::start_by(&scene.directory, "hands", |python, arguments| {
        let mut command = Command::new("setpriv");
        // Of its files some are root's: the tests' pipes, and whatever the checkout lies below.
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override", python]).args(arguments);
        command.env("OTEL_SERVICE_NAME", "shop");
        command
    })
}

/// One request to the program, and a line written by it.
fn traced(scene: &Scene, capabilities: &[String]) -> Outcome {
    let mut hands = foreign(scene);
    let tracer = Tracer::start_with(
        &scene.directory,
        TracerOptions {
            arguments: vec!["--pid".to_owned(), hands.pid()],
            wrapper: wrapper(scene, capabilities),
            ..TracerOptions::default()
        },
    );
    let mut peer = accepted(&mut hands, "c");
    serve(&mut hands, "c", &mut peer, "/shop");
    hands.ask("say", json!({ "text": "a line", "fd": 1 }));
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), [echoed("/shop")], "{}", outcome.stderr);
    outcome
}

fn service(outcome: &Outcome) -> &str {
    let resource = &outcome.telemetry.spans.first().expect("a span").resource;
    text(&resource.attributes, "service.name").unwrap()
}

fn without(missing: &str) -> Vec<String> {
    let granted = granted();
    assert!(granted.iter().any(|capability| capability == missing), "the manifest grants {missing}");
    granted.into_iter().filter(|capability| capability != missing).collect()
}

#[test]
fn the_rights_of_the_manifest_are_enough() {
    let scene = Scene::new("rights-all");
    let outcome = traced(&scene, &granted());
    assert_eq!(service(&outcome), "shop");
    assert_eq!(outcome.telemetry.logs.len(), 1);
    assert!(!outcome.stderr.contains("lacks"), "{}", outcome.stderr);
    assert_whole(&outcome);
}

/// Without either, a foreign process is traced, but it keeps its name or its lines to itself, and the tracer says why.
#[test]
fn without_the_rights_to_read_others_it_tells_less_and_says_so() {
    for (missing, name) in [("sys_ptrace", "CAP_SYS_PTRACE"), ("dac_read_search", "CAP_DAC_READ_SEARCH")] {
        let scene = Scene::new("rights-less");
        let outcome = traced(&scene, &without(missing));
        let less = service(&outcome) != "shop" || outcome.telemetry.logs.is_empty();
        assert!(less, "{missing} is not needed");
        let sentence = format!("The tracer lacks {name}: it cannot read");
        assert!(outcome.stderr.contains(&sentence), "{missing}: {}", outcome.stderr);
    }
}

/// Without either the kernel loads no probe.
#[test]
fn without_the_rights_to_load_it_does_not_start() {
    for (missing, name) in [("bpf", "CAP_BPF"), ("perfmon", "CAP_PERFMON")] {
        let scene = Scene::new("rights-none");
        let program = std::env::var_os("TRACER_BIN").unwrap();
        let mut words = wrapper(&scene, &without(missing)).into_iter().chain([program]);
        let output = Command::new(words.next().unwrap())
            .args(words)
            .args(["run", "--pid", &std::process::id().to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("The tracer lacks {name}, without which")), "{missing}: {said}");
    }
}
