//! Calls whose bytes lie in many segments: readv, writev, recvmsg, sendmsg.

use serde_json::{Value, json};

use super::hands::Hands;
use super::http;
use super::peer::Peer;
use super::scene::{Scene, accepted, serve};
use super::seen::{Seen, assert_whole, echoed, losses, seen, served};

/// Segments of a call that are looked at.
const CAP: usize = tracer_ebpf::limits::MAX_MANY_SEGMENTS;

/// One response (a head of `head` segments, then `body` segments of `size` bytes) by one call; then a plain exchange.
fn respond(hands: &mut Hands, peer: &mut Peer, via: &str, path: &str, cut: &Cut) {
    let response = http::ok(&"b".repeat(cut.body * cut.size));
    let head = response.find("\r\n\r\n").unwrap() + 4;
    peer.send(&http::get(path));
    hands.receive("c");
    let sizes = cut.sizes(head);
    assert_eq!(sizes.iter().sum::<usize>(), response.len());
    let send = json!({ "name": "c", "data": response, "via": via, "sizes": sizes });
    assert_eq!(hands.ask("send", send), response.len(), "a partial write");
    peer.expect(&response);
    serve(hands, "c", peer, &format!("{path}/next"));
}

/// How a response is cut into segments.
struct Cut {
    /// Segments of the head.
    head: usize,
    /// Segments of the body.
    body: usize,
    /// Bytes of each of those.
    size: usize,
    /// Put an empty segment before each other one.
    empty: bool,
}

impl Cut {
    fn sizes(&self, head: usize) -> Vec<usize> {
        let each = head / self.head;
        let first = std::iter::repeat_n(each, self.head - 1).chain([head - each * (self.head - 1)]);
        let all = first.chain(std::iter::repeat_n(self.size, self.body));
        all.flat_map(|size| if self.empty { vec![0, size] } else { vec![size] }).collect()
    }

    fn expected(&self, path: &str) -> [Seen; 2] {
        let length = i64::try_from(self.body * self.size).unwrap();
        [seen(path, 0, length), echoed(&format!("{path}/next"))]
    }
}

#[test]
fn responses_up_to_the_cap_are_told_whole() {
    let scene = Scene::new("segments");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    let mut expected = Vec::new();
    for via in ["writev", "sendmsg"] {
        let cuts = [
            ("one", Cut { head: 1, body: 0, size: 0, empty: false }),
            ("two", Cut { head: 1, body: 1, size: 100, empty: false }),
            ("head", Cut { head: 31, body: 1, size: 9000, empty: false }),
            ("31", Cut { head: 1, body: 30, size: 7, empty: false }),
            ("32", Cut { head: 2, body: 30, size: 1500, empty: false }),
            ("33", Cut { head: 3, body: 30, size: 1500, empty: false }),
            ("40", Cut { head: 1, body: 39, size: 30, empty: false }),
            ("cap", Cut { head: 12, body: CAP - 12, size: 100, empty: false }),
            ("empty", Cut { head: 4, body: 12, size: 50, empty: true }),
            ("more-empty", Cut { head: 8, body: CAP / 2 - 8, size: 50, empty: true }),
            ("window", Cut { head: 1, body: 2, size: 4130, empty: false }),
            ("long", Cut { head: 1, body: 2, size: 100_000, empty: false }),
        ];
        for (name, cut) in cuts {
            let path = format!("/{via}/{name}");
            respond(&mut hands, &mut peer, via, &path, &cut);
            expected.extend(cut.expected(&path));
        }
    }
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), expected);
    assert_whole(&outcome);
}

/// What lies behind the cap is a gap; it is counted, and costs nothing as long as the head lies before it.
#[test]
fn a_body_above_the_cap_is_a_counted_gap() {
    let scene = Scene::new("segments-cap");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    let mut expected = Vec::new();
    for via in ["writev", "sendmsg"] {
        let cuts = [
            ("513", Cut { head: 1, body: CAP, size: 8, empty: false }),
            ("kilobytes", Cut { head: 3, body: CAP, size: 100, empty: false }),
            ("empty", Cut { head: 8, body: CAP / 2, size: 50, empty: true }),
        ];
        for (name, cut) in cuts {
            let path = format!("/{via}/{name}");
            respond(&mut hands, &mut peer, via, &path, &cut);
            expected.extend(cut.expected(&path));
        }
    }
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), expected);
    assert_eq!(outcome.lost_in_kernel(), losses(&[("iovec_cap", 6)]));
}

/// The head itself lies behind the cap: that response is not known, but the connection goes on.
#[test]
fn a_head_above_the_cap_costs_its_own_exchange_only() {
    let scene = Scene::new("segments-head");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    let response = http::ok("b");
    // The cap lies in the middle of the first head, and before the second.
    let cut = std::iter::repeat_n(0, CAP - 20).chain(std::iter::repeat_n(1, response.len()));
    let none = std::iter::repeat_n(0, CAP + 1).chain([response.len()]);
    for (path, sizes) in [("/a", cut.collect::<Vec<usize>>()), ("/b", none.collect())] {
        peer.send(&http::get(path));
        hands.receive("c");
        hands.ask("send", json!({ "name": "c", "data": response, "via": "writev", "sizes": sizes }));
        peer.expect(&response);
        serve(&mut hands, "c", &mut peer, &format!("{path}/next"));
    }
    serve(&mut hands, "c", &mut peer, "/end");
    let outcome = tracer.stop();
    let told = served(&outcome);
    for seen in &told {
        let whole = echoed(&seen.path);
        let cut = ["/a", "/b"].contains(&seen.path.as_str());
        assert!(cut || *seen == whole, "{told:?}");
    }
    assert_eq!(told.last(), Some(&echoed("/end")), "{told:?}");
    assert_eq!(outcome.lost_in_kernel(), losses(&[("iovec_cap", 2)]));
}

#[test]
fn requests_read_into_many_segments() {
    let scene = Scene::new("segments-read");
    let mut hands = scene.hands("hands");
    let tracer = scene.trace(&["--pid", &hands.pid()]);
    let mut peer = accepted(&mut hands, "c");
    let mut expected = Vec::new();
    let mut cut = 0;
    for via in ["readv", "recvmsg"] {
        for (count, size) in [(1, 4000), (32, 40), (32, 1), (40, 40), (40, 5), (CAP + 8, 1)] {
            let path = format!("/{via}/{count}x{size}");
            let request = http::post(&path, &"q".repeat(900));
            peer.send(&request);
            let mut read = String::new();
            while read.len() < request.len() {
                let sizes: Vec<Value> = std::iter::repeat_n(json!(size), count).collect();
                let part = hands.ask("receive", json!({ "name": "c", "via": via, "sizes": sizes }));
                let part = part.as_str().unwrap();
                cut += u64::from(part.len() > CAP * size);
                read.push_str(part);
            }
            assert_eq!(read, request);
            hands.send("c", &http::ok("done"));
            peer.expect(&http::ok("done"));
            expected.push(seen(&path, 900, 4));
        }
    }
    let outcome = tracer.stop();
    assert_eq!(served(&outcome), expected);
    assert_eq!(outcome.lost_in_kernel(), losses(&[("iovec_cap", cut)]));
}
