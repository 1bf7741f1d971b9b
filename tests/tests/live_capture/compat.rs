//! A 32-bit program: its calls are counted and skipped, and nothing else suffers.

use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use xtask::process::Process;
use xtask::testbed::free_port;
use xtask::workspace;

use super::hands::wait_for;
use super::scene::{Scene, accepted, serve};
use super::seen::{echoed, served};

/// The program, or why it cannot be had.
fn build(scene: &Scene) -> Result<PathBuf, String> {
    let program = scene.directory.data("compat");
    let source = workspace::root().join("tests/apps/compat.c");
    let built = Command::new("gcc").args(["-m32", "-O1", "-Wall", "-o"]).arg(&program).arg(source).output();
    let built = built.map_err(|error| format!("gcc: {error}"))?;
    if !built.status.success() {
        return Err(format!("gcc -m32: {}", String::from_utf8_lossy(&built.stderr).trim()));
    }
    match Command::new(&program).arg("0").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(program),
        Ok(status) => Err(format!("a 32-bit program ends with {status}")),
        Err(error) => Err(format!("this kernel does not run it: {error}")),
    }
}

#[test]
fn its_calls_are_counted_and_skipped() {
    let scene = Scene::new("compat");
    let program = match build(&scene) {
        Ok(program) => program,
        Err(reason) => return println!("not run: {reason}"),
    };
    let port = free_port().unwrap();
    let mut command = Command::new(program);
    command.arg(port.to_string());
    let process = Process::start("compat", command, scene.directory.logs()).unwrap();
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &process.id().to_string(), "--pid", &hands.pid()]);
    let mut answer = String::new();
    let connect = || TcpStream::connect(("127.0.0.1", port));
    wait_for(
        || connect().is_ok_and(|mut stream| stream.read_to_string(&mut answer).is_ok()),
        || "it did not answer".to_owned(),
    );
    assert!(answer.ends_with("32-bit"), "{answer:?}");
    let mut peer = accepted(&mut hands, "c");
    serve(&mut hands, "c", &mut peer, "/64-bit");
    hands.ask("say", json!({ "text": "a line" }));
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), [echoed("/64-bit")]);
    assert_eq!(outcome.telemetry.logs.len(), 1);
    let losses = outcome.lost_in_kernel();
    assert!(losses.get("compat_syscall").is_some_and(|count| *count >= 2), "{losses:?}");
    assert_eq!(losses.len(), 1, "{losses:?}");
}
