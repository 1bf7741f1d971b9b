//! A descriptor that is closed, and whose number is used again, while another thread waits in a call on it: what that
//! call moves belongs to the old socket.

use serde_json::json;

use super::hands::Hands;
use super::http;
use super::peer::Peer;
use super::scene::{Scene, serve};
use super::seen::{Seen, assert_whole, echoed, seen, served};

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

/// A response that the old socket takes only when its number has been another's for long.
#[test]
fn what_a_waiting_write_sends_is_the_old_ones() {
    const SIZE: usize = 8 << 20;
    for family in ["inet", "unix"] {
        let scene = Scene::new(&format!("reused-write-{family}"));
        let mut hands = scene.hands("hands");
        let path = scene.socket("server");
        let port = hands.listen(json!({ "name": "l", "family": family, "path": path }));
        let connect = || if family == "unix" { Peer::unix(&path) } else { Peer::inet(port) };
        let tracer = scene.trace(&["--pid", &hands.pid()]);
        let mut old = connect();
        let number = hands.ask("accept", json!({ "name": "old", "listener": "l" }));
        old.send(&http::get("/large"));
        hands.receive("old");
        let head = http::head(200, SIZE);
        let send = json!({ "name": "old", "data": head, "fill": SIZE });
        hands.ask_blocking("t", libc::SYS_sendto, "send", send);
        hands.ask("close", json!({ "name": "old" }));
        let mut new = connect();
        assert_eq!(hands.ask("accept", json!({ "name": "new", "listener": "l" })), number);
        serve(&mut hands, "new", &mut new, "/new");
        old.expect(&head);
        old.receive(SIZE);
        assert_eq!(hands.ask("finish", json!({ "name": "t" })), head.len() + SIZE);
        serve(&mut hands, "new", &mut new, "/new/next");
        let outcome = tracer.stop();
        let size = i64::try_from(SIZE).unwrap();
        let expected = [seen("/large", 0, size), echoed("/new"), echoed("/new/next")];
        assert_eq!(served(&outcome), expected, "{family}");
        assert_whole(&outcome);
    }
}

/// Somebody else still has the old socket open: only TCP's positions tell that the bytes are not the new one's.
#[test]
fn an_old_one_that_lives_on_elsewhere() {
    let scene = Scene::new("reused-dup");
    let mut hands = scene.hands("hands");
    let port = hands.listen(json!({ "name": "l" }));
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut old = Peer::inet(port);
    let number = hands.ask("accept", json!({ "name": "old", "listener": "l" }));
    hands.ask("dup", json!({ "name": "old", "to": "kept" }));
    hands.ask_blocking("t", libc::SYS_recvfrom, "receive", json!({ "name": "old" }));
    hands.ask("close", json!({ "name": "old" }));
    let mut new = Peer::inet(port);
    assert_eq!(hands.ask("accept", json!({ "name": "new", "listener": "l" })), number);
    old.send(&http::get("/old"));
    hands.ask("finish", json!({ "name": "t" }));
    hands.send("kept", &http::ok("old"));
    old.expect(&http::ok("old"));
    serve(&mut hands, "new", &mut new, "/new");
    // The old one goes on, too: once it is sure that no lost byte is part of a message.
    for path in ["/kept", "/kept/next", "/kept/last"] {
        serve(&mut hands, "kept", &mut old, path);
    }
    let outcome = tracer.stop();
    let told: Vec<Seen> = served(&outcome).into_iter().filter(|seen| seen.status.is_some()).collect();
    assert_eq!((told.first(), told.last()), (Some(&echoed("/new")), Some(&echoed("/kept/last"))), "{told:?}");
    assert!(told.iter().all(|seen| *seen == echoed(&seen.path)), "{told:?}");
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
