//! Processes of one node that call each other: a proxy (process 100) and a backend (process 300).

use tracer_ebpf::{ConnectionNote, Direction};

use super::script::{Conn, SDK_SKIPPED, Script};
use crate::correlate::hops::{PAIR_GRACE, SERVER_GRACE};
use crate::correlate::trace_context::Propagators;
use crate::pipeline::PipelineConfig;
use crate::probe::decode::Event;
use crate::span::{Link, LinkKind, Span, SpanKind};

/// The proxy's connection to the browser, its connection to the backend, and that one's other end.
pub(super) const WEB: Conn = (1, 11);
pub(super) const UP: Conn = (2, 12);
pub(super) const BACK: Conn = (3, 13);
pub(super) const DB: Conn = (4, 14);
pub(super) const WEB2: Conn = (5, 15);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

pub(super) fn scene() -> Script {
    scene_with(|s| s.connect(1, UP))
}

/// The scene, in which the proxy connects to the backend in this way.
fn scene_with(connect: impl FnOnce(&mut Script)) -> Script {
    let mut s = Script::new();
    s.patient = true;
    s.accept(1, WEB);
    s.link(UP, BACK);
    connect(&mut s);
    as_backend(&mut s, |s| {
        s.accept(3, BACK);
        s.connect(3, DB);
    });
    s
}

pub(super) fn as_backend(s: &mut Script, work: impl FnOnce(&mut Script)) {
    s.tgid = 300;
    work(s);
    s.tgid = 100;
}

/// The backend reads a request, asks the database, logs and answers.
fn answer(s: &mut Script, request: &str) {
    as_backend(s, |s| {
        s.recv(3, BACK, request);
        s.send(3, DB, "?select\n");
        s.recv(3, DB, "!rows\n");
        s.log(3, "line\n");
        s.send(3, BACK, "!ok\n");
    });
}

pub(super) fn settle(s: &mut Script) {
    s.tick(s.time + SERVER_GRACE);
}

#[test]
fn a_request_is_the_child_of_the_call_at_the_other_end() {
    let mut s = scene();
    s.recv(1, WEB, "?web\n");
    s.send(1, UP, "?up\n");
    // The same name at both ends would be two spans.
    answer(&mut s, "?up\n");
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    settle(&mut s);
    let ups: Vec<_> = s.spans().into_iter().filter(|span| span.description.name == "up").collect();
    let (server, client) = (ups[0], ups[1]);
    assert_eq!(client.parent, Some(s.span("web").span_id));
    assert_eq!((server.parent, server.trace_id), (Some(client.span_id), client.trace_id));
    assert!(server.remote_parent && !client.remote_parent);
    let select = s.span("select");
    assert_eq!((select.parent, select.trace_id), (Some(server.span_id), client.trace_id));
    assert_eq!(s.line("line").context.map(|context| context.0), Some(client.trace_id));
    assert_eq!(s.pipeline.stats().spans.same_node, 1);
}

/// Both ends of the `number`-th exchange, whose requests are told by name.
pub(super) fn pair(s: &Script, client: &str, server: &str) -> bool {
    let (client, server) = (s.span(client), s.span(server));
    server.parent == Some(client.span_id) && server.trace_id == client.trace_id
}

#[test]
fn an_exchange_that_is_told_later_does_not_hide_where_the_next_one_goes() {
    let mut s = scene();
    for number in 1..=2 {
        let held = if number == 1 { " held" } else { "" };
        s.send(1, UP, &format!("?client-{number}{held}\n"));
        as_backend(&mut s, |s| {
            s.recv(3, BACK, &format!("?server-{number}{held}\n"));
            s.send(3, BACK, "!ok\n");
        });
        s.recv(1, UP, "!ok\n");
    }
    settle(&mut s);
    assert!(pair(&s, "client-1", "server-1"));
    assert!(pair(&s, "client-2", "server-2"));
}

/// The two ends tell the same bytes; for the test they are named apart behind the position.
fn talk(s: &mut Script, client_first: bool) {
    let ask = |s: &mut Script| s.send(1, UP, "?ask_\n");
    let serve = |s: &mut Script| as_backend(s, |s| s.recv(3, BACK, "?serve\n"));
    if client_first {
        ask(s);
        serve(s);
    } else {
        serve(s);
        ask(s);
    }
    as_backend(s, |s| s.send(3, BACK, "!ok\n"));
    s.recv(1, UP, "!ok\n");
}

#[test]
fn either_event_may_come_first() {
    for client_first in [true, false] {
        let mut s = scene();
        talk(&mut s, client_first);
        settle(&mut s);
        assert!(pair(&s, "ask_", "serve"), "{client_first}");
    }
}

#[test]
fn a_server_may_have_answered_before_its_client_is_told() {
    let mut s = scene();
    as_backend(&mut s, |s| {
        s.recv(3, BACK, "?serve\n");
        s.send(3, DB, "?select\n");
        s.recv(3, DB, "!rows\n");
        s.send(3, BACK, "!ok\n");
    });
    assert!(s.spans().is_empty(), "{:?}", s.names());
    s.send(1, UP, "?ask_\n");
    s.recv(1, UP, "!ok\n");
    assert!(pair(&s, "ask_", "serve"));
    assert_eq!(s.span("select").trace_id, s.span("ask_").trace_id);
}

#[test]
fn a_request_from_elsewhere_waits_only_so_long() {
    let mut s = scene();
    s.recv(1, WEB, "?web\n");
    s.send(1, WEB, "!ok\n");
    s.tick(s.time + SERVER_GRACE - 100);
    assert!(s.spans().is_empty());
    settle(&mut s);
    s.assert_root("web");
}

#[test]
fn requests_on_a_connection_that_lives_on_are_joined_one_by_one() {
    let mut s = scene();
    for number in 0..3 {
        s.send(1, UP, &format!("?ask_{number}\n"));
        as_backend(&mut s, |s| {
            s.recv(3, BACK, &format!("?srv_{number}\n"));
            s.send(3, BACK, "!ok\n");
        });
        s.recv(1, UP, "!ok\n");
    }
    settle(&mut s);
    for number in 0..3 {
        assert!(pair(&s, &format!("ask_{number}"), &format!("srv_{number}")), "{number}");
    }
}

#[test]
fn pipelined_requests_are_not_mixed() {
    let mut s = scene();
    s.send(1, UP, "?ask_0\n?ask_1\n");
    as_backend(&mut s, |s| {
        s.recv(3, BACK, "?srv_0\n");
        s.send(3, BACK, "!ok\n");
        s.recv(3, BACK, "?srv_1\n");
        s.send(3, BACK, "!ok\n");
    });
    s.recv(1, UP, "!ok\n!ok\n");
    s.tick(s.time + PAIR_GRACE);
    assert!(pair(&s, "ask_0", "srv_0"));
    s.assert_root("srv_1");
}

#[test]
fn a_connection_whose_answer_came_after_connect_is_joined_from_its_first_request() {
    let mut s = scene_with(|s| s.connecting(1, UP));
    s.note(0, UP, ConnectionNote::Established);
    first_request_is_joined(&mut s);
}

#[test]
fn a_connection_that_is_being_answered_when_connect_returns_is_joined_from_its_first_request() {
    first_request_is_joined(&mut scene_with(|s| s.connecting_and_answered(1, UP)));
}

#[test]
fn a_client_that_is_known_to_be_here_is_waited_for() {
    let mut s = scene();
    answer(&mut s, "?serve\n");
    // The thread that asked gets its processor back.
    s.tick(s.time + PAIR_GRACE / 2);
    s.send(1, UP, "?ask_\n");
    s.recv(1, UP, "!ok\n");
    settle(&mut s);
    assert!(pair(&s, "ask_", "serve"));
}

#[test]
fn a_client_that_may_be_elsewhere_is_not_waited_for_as_long() {
    let mut s = Script::new();
    s.patient = true;
    s.accept(3, BACK);
    s.recv(3, BACK, "?serve\n");
    s.send(3, BACK, "!ok\n");
    s.tick(s.time + SERVER_GRACE);
    s.assert_root("serve");
}

fn first_request_is_joined(s: &mut Script) {
    s.recv(1, WEB, "?web\n");
    s.send(1, UP, "?ask_\n");
    answer(s, "?serve\n");
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    settle(s);
    s.assert_child("ask_", "web");
    assert!(pair(s, "ask_", "serve"));
}

#[test]
fn a_connection_whose_answer_was_not_told_is_joined_from_its_first_request() {
    let mut s = scene_with(|s| s.connecting(1, UP));
    s.tells_both = true;
    first_request_is_joined(&mut s);
}

#[test]
fn a_connection_older_than_the_tracer_is_joined_from_its_first_request() {
    let mut s = Script::new();
    (s.patient, s.tells_both) = (true, true);
    s.link(UP, BACK);
    s.note(1, WEB, ConnectionNote::Seen);
    s.recv(1, WEB, "?web\n");
    s.note(1, UP, ConnectionNote::Seen);
    s.send(1, UP, "?ask_\n");
    as_backend(&mut s, |s| {
        s.note(3, BACK, ConnectionNote::Seen);
        s.note(3, DB, ConnectionNote::Seen);
    });
    answer(&mut s, "?serve\n");
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    settle(&mut s);
    assert!(pair(&s, "ask_", "serve"));
}

#[test]
fn unix_sockets_are_told_by_their_peers() {
    let mut s = Script::new();
    s.patient = true;
    let announce = |s: &mut Script, tid, own: Conn, peer: Conn, note| {
        let event = tracer_ebpf::ConnectionEvent {
            header: s.header(tid),
            sock: own.0,
            ino: own.1,
            peer_sock: peer.0,
            family: tracer_ebpf::Family::Unix as u16,
            ..super::script::connection_event()
        };
        s.event(&Event::Connection(note, event));
    };
    announce(&mut s, 1, UP, BACK, ConnectionNote::Connect);
    announce(&mut s, 3, BACK, UP, ConnectionNote::Accept);
    let unix = |data: &mut crate::probe::decode::Data<'_>| {
        data.header.flags &= !tracer_ebpf::event::flag::SEQUENCE;
        data.position = 0;
    };
    s.moved(1, UP, Direction::Egress, "?ask_\n", unix);
    s.moved(3, BACK, Direction::Ingress, "?serve\n", unix);
    s.moved(3, BACK, Direction::Egress, "!ok\n", unix);
    s.moved(1, UP, Direction::Ingress, "!ok\n", unix);
    settle(&mut s);
    assert!(pair(&s, "ask_", "serve"));
}

#[test]
fn a_context_that_the_proxy_only_passed_on_is_no_closer_parent() {
    let mut s = scene();
    let header = format!("traceparent={PARENT}-01");
    // An event loop: its calls have no parent by the thread.
    s.recv(1, WEB, &format!("?web {header}\n"));
    s.epoll(1);
    s.send(1, UP, &format!("?ask_ {header}\n"));
    answer(&mut s, &format!("?serve {header}\n"));
    s.epoll(1);
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    settle(&mut s);
    assert_eq!(s.span("web").parent.unwrap().to_string(), "00f067aa0ba902b7");
    s.assert_child("ask_", "web");
    assert!(pair(&s, "ask_", "serve"));
    s.assert_child("select", "serve");
    let traces: std::collections::HashSet<_> = s.spans().iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 1);
    let stats = s.pipeline.stats().spans;
    assert_eq!((stats.children_by_forwarding, stats.same_node), (1, 1));
}

#[test]
fn a_context_that_the_caller_made_itself_wins() {
    let mut s = scene();
    s.recv(1, WEB, "?web\n");
    s.send(1, UP, &format!("?ask_ traceparent={PARENT}-01\n"));
    answer(&mut s, &format!("?serve traceparent={PARENT}-01\n"));
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    settle(&mut s);
    s.assert_child("ask_", "web");
    assert_eq!(s.span("serve").parent.unwrap().to_string(), "00f067aa0ba902b7");
    s.assert_child("select", "serve");
    assert_eq!(links(&s, "serve"), [("ask_", LinkKind::SameNode)]);
}

#[test]
fn the_client_that_is_not_the_parent_is_linked_to_in_any_order() {
    let header = format!(" traceparent={PARENT}-01\n");
    for client_first in [true, false] {
        let mut s = scene();
        if client_first {
            s.send(1, UP, "?ask_\n");
        }
        as_backend(&mut s, |s| {
            s.recv(3, BACK, "?serve");
            s.recv(3, BACK, &header);
        });
        if !client_first {
            s.send(1, UP, "?ask_\n");
        }
        as_backend(&mut s, |s| s.send(3, BACK, "!ok\n"));
        s.recv(1, UP, "!ok\n");
        settle(&mut s);
        assert_eq!(s.span("serve").parent.unwrap().to_string(), "00f067aa0ba902b7");
        assert_eq!(links(&s, "serve"), [("ask_", LinkKind::SameNode)], "{client_first}");
    }
}

/// What a span is linked to.
pub(super) fn links<'a>(s: &'a Script, name: &str) -> Vec<(&'a str, LinkKind)> {
    let target = |link: &Link| {
        let spans = s.spans();
        let is_target = |span: &&&Span| (span.trace_id, span.span_id) == (link.trace_id, link.span_id);
        let target: &'a Span = spans.iter().find(is_target).unwrap();
        (target.description.name.as_str(), link.kind)
    };
    s.span(name).links.iter().map(target).collect()
}

#[test]
fn a_client_that_is_not_exported_is_nobodys_parent() {
    let mut s = scene();
    s.tgid = SDK_SKIPPED;
    s.send(9, UP, "?ask_\n");
    as_backend(&mut s, |s| {
        s.recv(3, BACK, "?serve\n");
        s.send(3, BACK, "!ok\n");
    });
    s.tgid = SDK_SKIPPED;
    s.recv(9, UP, "!ok\n");
    settle(&mut s);
    s.assert_root("serve");
    assert_eq!(s.names(), ["serve"]);
}

#[test]
fn a_health_check_that_is_dropped_stays_so_whoever_asked() {
    for client_first in [true, false] {
        let mut s = scene();
        let ask = |s: &mut Script| s.send(1, UP, "?ask_ health=kubelet\n");
        let serve = |s: &mut Script| as_backend(s, |s| s.recv(3, BACK, "?serve health=kubelet\n"));
        if client_first {
            ask(&mut s);
            serve(&mut s);
        } else {
            serve(&mut s);
            ask(&mut s);
        }
        as_backend(&mut s, |s| {
            s.send(3, DB, "?select\n");
            s.recv(3, DB, "!rows\n");
            s.send(3, BACK, "!ok\n");
        });
        s.recv(1, UP, "!ok\n");
        settle(&mut s);
        assert_eq!(s.names(), ["ask_"], "{client_first}");
    }
}

#[test]
fn a_callers_decision_is_that_of_all_below_it() {
    let mut s = scene();
    s.recv(1, WEB, &format!("?web traceparent={PARENT}-00\n"));
    s.send(1, UP, "?ask_\n");
    answer(&mut s, "?serve\n");
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    settle(&mut s);
    assert_eq!(s.names(), [""; 0]);
    assert_eq!(
        s.line("line").context.map(|(trace, _, sampled)| (trace.to_string(), sampled)),
        Some(("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), false))
    );
}

#[test]
fn two_requests_with_one_context_tell_nothing_of_who_passes_it_on() {
    let mut s = scene();
    s.accept(1, WEB2);
    s.recv(1, WEB, &format!("?one traceparent={PARENT}-01\n"));
    s.recv(1, WEB2, &format!("?two traceparent={PARENT}-01\n"));
    s.send(1, UP, &format!("?ask_ traceparent={PARENT}-01\n"));
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    s.send(1, WEB2, "!ok\n");
    settle(&mut s);
    assert_eq!(s.span("ask_").parent, None);
    let candidates = [("one", LinkKind::PossibleParent), ("two", LinkKind::PossibleParent)];
    assert_eq!(links(&s, "ask_"), candidates);
}

#[test]
fn whole_chains_are_joined_at_the_end_too() {
    let mut s = scene();
    let header = format!("traceparent={PARENT}-01");
    s.recv(1, WEB, &format!("?web {header}\n"));
    s.epoll(1);
    s.send(1, UP, &format!("?ask_ {header}\n"));
    as_backend(&mut s, |s| {
        s.recv(3, BACK, &format!("?serve {header}\n"));
        s.send(3, DB, "?select\n");
        s.recv(3, DB, "!rows\n");
        s.send(3, BACK, "!ok\n");
    });
    s.epoll(1);
    s.recv(1, UP, "!ok\n");
    s.send(1, WEB, "!ok\n");
    assert!(s.spans().is_empty(), "the browser may be on this node: {:?}", s.names());
    s.finish();
    s.assert_child("ask_", "web");
    assert!(pair(&s, "ask_", "serve"));
    s.assert_child("select", "serve");
}

#[test]
fn a_caller_that_wants_no_trace_gets_none_from_its_own_span_either() {
    let propagators = Propagators::from_variable(Some("b3"));
    let config = PipelineConfig { propagators, ..PipelineConfig::default() };
    let mut s = Script::speaking(crate::protocol::PROTOCOLS, config);
    s.patient = true;
    s.link(UP, BACK);
    s.connect(1, UP);
    as_backend(&mut s, |s| s.accept(3, BACK));
    s.send(1, UP, "GET / HTTP/1.1\r\nHost: x\r\nb3: 0\r\n\r\n");
    as_backend(&mut s, |s| {
        s.recv(3, BACK, "GET / HTTP/1.1\r\nHost: x\r\nb3: 0\r\n\r\n");
        s.send(3, BACK, "HTTP/1.1 204 No Content\r\n\r\n");
    });
    s.recv(1, UP, "HTTP/1.1 204 No Content\r\n\r\n");
    settle(&mut s);
    let kinds: Vec<_> = s.spans().iter().map(|span| span.kind).collect();
    assert_eq!(kinds, [SpanKind::Client]);
}
