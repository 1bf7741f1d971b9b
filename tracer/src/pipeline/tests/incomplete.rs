//! Requests that were lost, and what is below them.

use tracer_ebpf::Direction;

use super::hops::{BACK, DB, UP, WEB, WEB2, as_backend, pair, scene, settle};
use super::script::Script;
use crate::span::{Attribute, SpanKind};

#[test]
fn what_is_below_a_lost_request_hangs_from_what_is_known_of_it() {
    let mut s = scene();
    s.send(1, UP, "?ask_\n");
    as_backend(&mut s, |s| {
        s.recv(3, BACK, "?serve\n");
        s.send(3, DB, "?early\n");
        s.recv(3, DB, "!rows\n");
        s.send(3, DB, "?late\n");
        s.lose(BACK, Direction::Ingress, 10);
        s.recv(3, BACK, "?other\n");
        s.recv(3, DB, "!rows\n");
    });
    s.recv(1, UP, "!ok\n");
    s.finish();
    let stand_in = s.span("LINE");
    assert_eq!(
        stand_in.description.attributes,
        [
            Attribute::new("tracer.incomplete", "bytes_lost"),
            Attribute::new("tracer.correlation", "same_node"),
        ]
    );
    assert_eq!(stand_in.kind, SpanKind::Server);
    s.assert_child("early", "LINE");
    s.assert_child("late", "LINE");
    let stats = s.pipeline.stats().spans;
    assert_eq!((stats.incomplete, stats.abandoned_gap), (1, 1));
}

#[test]
fn a_lost_request_with_nothing_below_it_is_no_span() {
    let mut s = scene();
    as_backend(&mut s, |s| {
        s.recv(3, BACK, "?serve\n");
        s.lose(BACK, Direction::Ingress, 10);
        s.recv(3, BACK, "?other\n");
    });
    s.finish();
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn a_request_that_is_not_over_at_the_end_is_told_if_something_is_below_it() {
    let mut s = scene();
    s.recv(1, WEB, "?web\n");
    s.send(1, UP, "?early\n");
    s.recv(1, UP, "!ok\n");
    s.recv(2, WEB2, "?other\n");
    s.finish();
    let incomplete = Attribute::new("tracer.incomplete", "end_not_seen");
    assert_eq!(s.span("LINE").description.attributes, [incomplete]);
    s.assert_child("early", "LINE");
    assert_eq!(s.names().len(), 2);
}

/// The proxy asks on behalf of a request, and its answer is lost; before or after the backend's span is told.
fn lose_the_clients_answer(before: bool) {
    let mut s = scene();
    s.recv(1, WEB, "?web\n");
    s.send(1, UP, "?ask_\n");
    as_backend(&mut s, |s| s.recv(3, BACK, "?serve\n"));
    let answer = |s: &mut Script| {
        as_backend(s, |s| s.send(3, BACK, "!ok\n"));
        settle(s);
    };
    if !before {
        answer(&mut s);
        assert_eq!(s.names(), ["serve"]);
    }
    s.lose(UP, Direction::Ingress, 4);
    s.send(1, UP, "?more\n");
    s.recv(1, UP, "!ok\n");
    if before {
        assert!(!s.names().contains(&"serve"));
        answer(&mut s);
    }
    s.send(1, WEB, "!ok\n");
    s.finish();
    let stand_in = s.span("LINE");
    assert_eq!(stand_in.kind, SpanKind::Client);
    assert_eq!(stand_in.description.attributes, [Attribute::new("tracer.incomplete", "bytes_lost")]);
    assert!(pair(&s, "LINE", "serve"));
    s.assert_child("LINE", "web");
    assert_eq!(s.pipeline.stats().spans.incomplete, 1);
}

#[test]
fn a_server_hangs_from_what_is_known_of_its_lost_client() {
    lose_the_clients_answer(true);
    lose_the_clients_answer(false);
}

#[test]
fn a_lost_client_whose_server_is_no_span_is_none() {
    let mut s = scene();
    s.send(1, UP, "?ask_\n");
    as_backend(&mut s, |s| {
        s.recv(3, BACK, "?serve\n");
        s.lose(BACK, Direction::Ingress, 10);
        s.recv(3, BACK, "?other\n");
    });
    s.lose(UP, Direction::Ingress, 4);
    s.send(1, UP, "?more\n");
    s.recv(1, UP, "!ok\n");
    s.finish();
    assert_eq!(s.names(), [""; 0]);
}
