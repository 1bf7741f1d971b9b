//! A descriptor that is closed, and whose number is used again, while another thread waits in a call on it: what that
//! call moves belongs to the old socket.

use serde_json::json;

use super::hands::Hands;
use super::http;
use super::peer::Peer;
use super::scene::{Scene, serve};
use super::seen::{Seen, assert_whole, echoed, served};

/// Calls that can wait for bytes.
const CALLS: [(&str, libc::c_long); 3] =
    [("recv", libc::SYS_recvfrom), ("read", libc::SYS_read), ("recvmsg", libc::SYS_recvmsg)];

/// A listener, an accepted connection on which a thread waits, and a newer one that has its number.
struct Reused {
    hands: Hands,
    old: Peer,
    new: Peer,
}

impl Reused {
    fn new(scene: &Scene, family: &str, (via, call): (&str, libc::c_long)) -> Self {
        let mut hands = scene.hands(&format!("{family}-{via}"));
        let path = scene.socket(&format!("{family}-{via}"));
        let port = hands.listen(json!({ "name": "l", "family": family, "path": path }));
        let accept = |hands: &mut Hands, name: &str| {
            let peer = if family == "unix" { Peer::unix(&path) } else { Peer::inet(port) };
            (peer, hands.ask("accept", json!({ "name": name, "listener": "l" })))
        };
        let (mut old, number) = accept(&mut hands, "old");
        serve(&mut hands, "old", &mut old, "/older");
        hands.ask_blocking("t", call, "receive", json!({ "name": "old", "via": via }));
        hands.ask("close", json!({ "name": "old" }));
        let (new, again) = accept(&mut hands, "new");
        assert_eq!(number, again, "the number was not used again");
        Self { hands, old, new }
    }
}

/// Runs `case` for each family and call, each with a tracer of its own; it gives what must be told of the new
/// connection.
fn for_each(name: &str, case: impl Fn(&mut Reused) -> Vec<Seen>) {
    for family in ["inet", "unix"] {
        let scene = Scene::new(&format!("reused-{name}-{family}"));
        let mut reused: Vec<Reused> = CALLS.map(|call| Reused::new(&scene, family, call)).into();
        let pids: Vec<String> = reused.iter().flat_map(|one| ["--pid".to_owned(), one.hands.pid()]).collect();
        let tracer = scene.trace(&pids.iter().map(String::as_str).collect::<Vec<_>>());
        let expected: Vec<Seen> = reused.iter_mut().flat_map(&case).collect();
        let outcome = tracer.stop();
        // What was asked on the old connection was never answered.
        let (old, new): (Vec<Seen>, Vec<Seen>) =
            served(&outcome).into_iter().partition(|seen| seen.path.starts_with("/old"));
        assert_eq!(new, expected, "{family}");
        assert!(old.iter().all(|seen| seen.status.is_none()), "{family}: {old:?}");
        assert_whole(&outcome);
    }
}

#[test]
fn a_new_connection_that_has_moved_nothing_yet() {
    for_each("fresh", |one| {
        one.old.send(&http::get("/old"));
        assert_eq!(one.hands.ask("finish", json!({ "name": "t" })), http::get("/old"));
        serve(&mut one.hands, "new", &mut one.new, "/new");
        vec![echoed("/new")]
    });
}

#[test]
fn a_new_connection_in_the_middle_of_an_exchange() {
    for_each("busy", |one| {
        // Longer than what comes on the old one.
        let path = format!("/new/{}", "n".repeat(300));
        serve(&mut one.hands, "new", &mut one.new, "/new/first");
        one.new.send(&http::get(&path));
        one.hands.receive("new");
        one.old.send(&http::get("/old"));
        one.hands.ask("finish", json!({ "name": "t" }));
        one.hands.send("new", &http::ok(&path));
        one.new.expect(&http::ok(&path));
        serve(&mut one.hands, "new", &mut one.new, "/new/last");
        vec![echoed("/new/first"), echoed(&path), echoed("/new/last")]
    });
}

#[test]
fn the_end_of_the_old_one_is_not_the_end_of_the_new_one() {
    for_each("end", |one| {
        one.new.send(&http::get("/new"));
        one.hands.receive("new");
        one.old.finish();
        assert_eq!(one.hands.ask("finish", json!({ "name": "t" })), "");
        one.hands.send("new", &http::ok("/new"));
        one.new.expect(&http::ok("/new"));
        serve(&mut one.hands, "new", &mut one.new, "/new/next");
        vec![echoed("/new"), echoed("/new/next")]
    });
}
