//! `--cgroup`: everything in it and below it, from the first instruction.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::hands::{Hands, wait_for};
use super::http;
use super::scene::{Scene, accepted, serve};
use super::seen::{assert_whole, echoed, served};

/// A cgroup of the test's own, removed at the end.
struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Below the mount of cgroup v2.
    fn new(name: &str) -> Self {
        Self::at(mount().join(format!("capture-{}-{name}", std::process::id())))
    }

    /// Below this one.
    fn nested(&self, name: &str) -> Self {
        Self::at(self.path.join(name))
    }

    fn at(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path }
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// A program that is in it before its first instruction.
    fn start(&self, scene: &Scene, name: &str) -> Hands {
        Hands::start_by(&scene.directory, name, |python, arguments| {
            let mut command = Command::new("sh");
            let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.name());
            command.args(["-c", &enter, "sh", python]).args(arguments);
            command
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What ran in it was killed a moment ago.
        wait_for(|| fs::remove_dir(&self.path).is_ok(), || format!("{} is busy", self.path.display()));
    }
}

/// Where cgroup v2 is mounted.
fn mount() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a mount of cgroup v2");
    Path::new(line.split(' ').nth(4).unwrap()).to_owned()
}

fn one_exchange(hands: &mut Hands, path: &str) {
    let mut peer = accepted(hands, "c");
    serve(hands, "c", &mut peer, path);
    hands.ask("close", json!({ "name": "c" }));
}

#[test]
fn members_from_before_and_after_and_in_cgroups_made_afterwards() {
    let scene = Scene::new("cgroup");
    let pod = Cgroup::new("pod");
    let old_nested = pod.nested("old");
    let mut before = pod.start(&scene, "before");
    let mut before_nested = old_nested.start(&scene, "before-nested");
    let mut outside = scene.hands("outside");
    let tracer = scene.trace(&["--cgroup", pod.name()]);
    before.ask("fork", json!({ "name": "child" }));
    let container = pod.nested("container");
    let deeper = container.nested("deeper");
    let mut after = pod.start(&scene, "after");
    let mut in_container = container.start(&scene, "in-container");
    let mut in_deeper = deeper.start(&scene, "in-deeper");
    one_exchange(&mut before, "/before");
    let port = before.listen(json!({ "name": "l" }));
    before.ask("fork", json!({ "name": "forked" }));
    let mut peer = super::peer::Peer::inet(port);
    before.ask_child("forked", "accept", json!({ "name": "c", "listener": "l" }));
    peer.send(&http::get("/forked"));
    before.ask_child("forked", "receive", json!({ "name": "c" }));
    before.ask_child("forked", "send", json!({ "name": "c", "data": http::ok("/forked") }));
    peer.expect(&http::ok("/forked"));
    one_exchange(&mut before_nested, "/before-nested");
    one_exchange(&mut outside, "/outside");
    one_exchange(&mut after, "/after");
    one_exchange(&mut in_container, "/in-container");
    one_exchange(&mut in_deeper, "/in-deeper");
    let outcome = tracer.stop();
    // Programs end before their cgroups are removed.
    drop((before, before_nested, outside, after, in_container, in_deeper));
    drop((deeper, container, old_nested, pod));
    let expected = ["/before", "/forked", "/before-nested", "/after", "/in-container", "/in-deeper"];
    assert_eq!(served(&outcome), expected.map(echoed));
    assert_whole(&outcome);
}

#[test]
fn a_process_that_enters_or_leaves_is_traced_while_it_is_in() {
    let scene = Scene::new("cgroup-moves");
    let pod = Cgroup::new("moves");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--cgroup", pod.name()]);
    one_exchange(&mut hands, "/outside");
    fs::write(pod.path.join("cgroup.procs"), hands.pid()).unwrap();
    one_exchange(&mut hands, "/inside");
    fs::write(mount().join("cgroup.procs"), hands.pid()).unwrap();
    one_exchange(&mut hands, "/outside");
    let outcome = tracer.stop();
    drop(hands);
    assert_eq!(served(&outcome), [echoed("/inside")]);
    assert_whole(&outcome);
}
