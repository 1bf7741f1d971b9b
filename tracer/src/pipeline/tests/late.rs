//! Parents that are known later, by the runtime's contexts.

use tracer_ebpf::runtime::context::{MIGRATES, NAMED, NONE, REQUEST, STACK, number};

use super::script::{Conn, Script};
use crate::correlate::late::MAX_WAIT;
use crate::span::Attribute;

pub(super) const WEB: Conn = (1, 11);
pub(super) const WEB2: Conn = (2, 12);
pub(super) const DB: Conn = (3, 13);
pub(super) const DB2: Conn = (4, 14);

/// The event loop's own context, in which it reads.
const LOOP: u64 = 0x70;
/// Contexts of tasks.
pub(super) const A: u64 = 0xa0 | number(1);
pub(super) const B: u64 = 0xb0 | number(2);

pub(super) fn connected() -> Script {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.accept(1, WEB2);
    s.connect(1, DB);
    s.connect(1, DB2);
    s
}

/// The loop reads a request.
pub(super) fn request(s: &mut Script, conn: Conn, name: &str) {
    s.epoll(1);
    s.run(1, LOOP);
    s.recv(1, conn, &format!("?{name}\n"));
}

/// A context sends a query, and the loop reads its answer.
fn query(s: &mut Script, context: u64, conn: Conn, name: &str) {
    s.run(1, context);
    s.send(1, conn, &format!("?{name}\n"));
    s.epoll(1);
    s.run(1, LOOP);
    s.recv(1, conn, "!rows\n");
}

pub(super) fn respond(s: &mut Script, context: u64, conn: Conn) {
    s.run(1, context);
    s.send(1, conn, "!ok\n");
}

pub(super) fn evidence(s: &Script, name: &str) -> Vec<Attribute> {
    let attributes = &s.span(name).description.attributes;
    attributes.iter().filter(|attribute| attribute.key == "tracer.correlation").cloned().collect()
}

#[test]
fn who_writes_the_response_made_the_calls() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    request(&mut s, WEB2, "two");
    query(&mut s, A, DB, "a1");
    query(&mut s, B, DB, "b1");
    s.run(1, A);
    s.log(1, "a line\n");
    query(&mut s, A, DB2, "a2");
    assert!(s.names().is_empty(), "nothing is known yet");
    respond(&mut s, B, WEB2);
    assert_eq!(s.names(), ["two", "b1"]);
    respond(&mut s, A, WEB);
    for (child, parent) in [("a1", "one"), ("a2", "one"), ("b1", "two")] {
        s.assert_child(child, parent);
        assert_eq!(evidence(&s, child), [Attribute::new("tracer.correlation", "runtime_context")]);
    }
    s.assert_line("a line", Some("one"));
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.children, stats.spans.children_by_context, stats.logs.known_late), (3, 3, 1));
    assert_eq!((stats.bindings.suspended_by_context, stats.bindings.suspended_by_request), (1, 1));
    assert_eq!((stats.tables.waiting, stats.tables.held), (0, 0));
}

#[test]
fn what_a_worker_does_is_done_for_the_task_that_waits_for_it() {
    const WORK: u64 = 0xc0;
    let mut s = connected();
    request(&mut s, WEB, "one");
    request(&mut s, WEB2, "two");
    s.connect(2, (5, 15));
    // A function that an executor runs has no context of its own.
    for (context, waiters, name) in [
        (WORK, &[A][..], "alpha"),
        (WORK, &[], "nobody"),
        (WORK, &[0xe0, B], "beta"),
        (0, &[A], "plain"),
        (0x700 | NONE, &[B], "outside"),
    ] {
        s.run_for(2, context, waiters);
        s.send(2, (5, 15), &format!("?{name}\n"));
        s.log(2, &format!("{name}\n"));
        s.recv(2, (5, 15), "!rows\n");
    }
    respond(&mut s, B, WEB2);
    respond(&mut s, A, WEB);
    s.run_for(2, WORK, &[A]);
    s.log(2, "late\n");
    for (name, parent) in [("alpha", "one"), ("beta", "two"), ("plain", "one"), ("outside", "two")] {
        s.assert_child(name, parent);
        s.assert_line(name, Some(parent));
    }
    s.assert_root("nobody");
    s.assert_line("nobody", None);
    s.assert_line("late", None);
    assert_eq!(s.pipeline.stats().tables.waiting, 0);
}

#[test]
fn what_a_task_does_is_done_for_who_waits_for_it() {
    const CHILD: u64 = 0xc0;
    const GRANDCHILD: u64 = 0xd0;
    let mut s = connected();
    request(&mut s, WEB, "one");
    request(&mut s, WEB2, "two");
    for (context, waiters, name) in [
        (CHILD, &[A][..], "child"),
        (GRANDCHILD, &[CHILD, A], "grandchild"),
        (GRANDCHILD, &[CHILD], "nobody"),
        (CHILD, &[B], "second"),
    ] {
        s.run_for(1, context, waiters);
        s.send(1, DB, &format!("?{name}\n"));
        s.log(1, &format!("{name}\n"));
        s.epoll(1);
        s.run(1, LOOP);
        s.recv(1, DB, "!rows\n");
    }
    respond(&mut s, B, WEB2);
    respond(&mut s, A, WEB);
    for (child, parent) in [("child", "one"), ("grandchild", "one"), ("second", "two")] {
        s.assert_child(child, parent);
        s.assert_line(child, Some(parent));
    }
    s.assert_root("nobody");
    s.assert_line("nobody", None);
    assert_eq!((s.pipeline.stats().spans.roots_other_context, s.pipeline.stats().tables.waiting), (1, 0));
}

#[test]
fn a_task_that_answers_a_request_itself_works_for_that_one() {
    let mut s = connected();
    request(&mut s, WEB, "outer");
    request(&mut s, WEB2, "inner");
    s.run_for(1, B, &[A]);
    s.send(1, DB, "?query\n");
    // B owns the one before A owns the other.
    s.send(1, WEB2, "!o");
    s.run(1, A);
    s.send(1, WEB, "!o");
    s.run_for(1, B, &[A]);
    s.send(1, DB2, "?later\n");
    s.run(1, A);
    s.send(1, WEB, "k\n");
    s.run(1, B);
    s.send(1, WEB2, "k\n");
    s.run(1, LOOP);
    s.recv(1, DB, "!rows\n");
    s.recv(1, DB2, "!rows\n");
    s.assert_child("query", "inner");
    s.assert_child("later", "inner");
}

#[test]
fn the_task_made_for_a_request_owns_it_whoever_writes_the_response() {
    const STREAM: u64 = 0xc0 | NAMED;
    const ONE: u64 = A | REQUEST;
    const TWO: u64 = B | REQUEST;
    let mut s = connected();
    request(&mut s, WEB, "one");
    request(&mut s, WEB2, "two");
    query(&mut s, ONE, DB, "before");
    // Another request's task that writes a response has the same address a moment later.
    for (owner, conn, name) in [(ONE, WEB, "within"), (TWO, WEB2, "other")] {
        s.run_for(1, STREAM, &[owner]);
        s.send(1, conn, "!o");
        s.send(1, DB, &format!("?{name}\n"));
        s.epoll(1);
        s.run(1, LOOP);
        s.recv(1, DB, "!rows\n");
        s.run_for(1, STREAM, &[owner]);
        s.send(1, conn, "k\n");
    }
    s.assert_child("before", "one");
    s.assert_child("within", "one");
    s.assert_child("other", "two");
    assert_eq!(s.pipeline.stats().tables.waiting, 0);
}

#[test]
fn who_waits_for_the_writer_owns_nothing_unless_made_for_a_request() {
    const SERVER: u64 = 0xf0 | number(3);
    let mut s = connected();
    request(&mut s, WEB, "one");
    query(&mut s, SERVER, DB, "server");
    for (context, waiters, name) in
        [(0xc0 | NAMED, [SERVER], "first"), (0xc0, [0xe0 | NAMED | REQUEST], "second")]
    {
        s.run_for(1, context, &waiters);
        s.send(1, DB, &format!("?{name}\n"));
        s.send(1, WEB, "!ok\n");
        s.run(1, LOOP);
        s.recv(1, DB, "!rows\n");
        s.assert_root(name);
        request(&mut s, WEB, "next");
    }
    s.assert_root("server");
}

#[test]
fn a_task_that_answers_nobody_has_no_parent() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    query(&mut s, B, DB, "background");
    s.run(1, B);
    s.log(1, "of the background\n");
    query(&mut s, A, DB, "own");
    respond(&mut s, A, WEB);
    query(&mut s, A, DB, "afterwards");
    s.run(1, A);
    s.log(1, "after the response\n");
    s.assert_child("own", "one");
    s.assert_root("background");
    s.assert_root("afterwards");
    s.assert_line("of the background", None);
    s.assert_line("after the response", None);
    assert_eq!(s.pipeline.stats().spans.roots_other_context, 1);
}

#[test]
fn a_context_begins_with_the_head_and_ends_with_its_last_byte() {
    let mut s = connected();
    s.run(1, LOOP);
    s.recv(1, WEB, "?o");
    // An earlier task, whose context's address the request's task gets.
    query(&mut s, A, DB, "earlier");
    s.run(1, LOOP);
    s.recv(1, WEB, "ne\n");
    query(&mut s, A, DB, "own");
    s.run(1, A);
    s.send(1, WEB, "!o");
    query(&mut s, A, DB, "streaming");
    s.run(1, A);
    s.send(1, WEB, "k");
    // The task is over, and the loop writes what is left while another one has the address.
    query(&mut s, A, DB, "later");
    s.run(1, LOOP);
    s.send(1, WEB, "\n");
    s.assert_child("own", "one");
    s.assert_child("streaming", "one");
    s.assert_root("earlier");
    s.assert_root("later");
}

#[test]
fn a_context_that_answers_two_at_once_owns_neither() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    request(&mut s, WEB2, "two");
    query(&mut s, LOOP, DB, "first");
    respond(&mut s, LOOP, WEB);
    query(&mut s, LOOP, DB, "second");
    respond(&mut s, LOOP, WEB2);
    // The first answer was exact as far as could be seen; from then on nothing is.
    s.assert_root("second");
    assert_eq!(s.pipeline.stats().spans.roots_ambiguous, 1);
}

#[test]
fn an_address_that_is_used_again_is_another_context() {
    let mut s = connected();
    for (task, name) in [(11, "one"), (12, "two"), (13, "three")] {
        let again = 0xa0 | number(task);
        request(&mut s, WEB, name);
        query(&mut s, again, DB, &format!("of-{name}"));
        respond(&mut s, again, WEB);
        query(&mut s, again, DB, &format!("between-{name}"));
    }
    for name in ["one", "two", "three"] {
        s.assert_child(&format!("of-{name}"), name);
        s.assert_root(&format!("between-{name}"));
    }
}

#[test]
fn a_task_that_begins_late_does_not_get_what_had_its_address() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    query(&mut s, 0xc0 | number(7), DB, "anothers");
    query(&mut s, 0xc0 | number(8), DB, "own");
    respond(&mut s, 0xc0 | number(8), WEB);
    s.assert_root("anothers");
    s.assert_child("own", "one");
}

#[test]
fn who_cannot_be_told_from_what_had_its_address_owns_nothing() {
    // A task that somebody named, no task at all, a greenlet that did not read the request.
    for context in [0xc0 | NAMED, 0xc0, 0xc0 | STACK] {
        let mut s = connected();
        request(&mut s, WEB, "one");
        query(&mut s, context, DB, "somebodys");
        respond(&mut s, context, WEB);
        s.assert_root("somebodys");
        assert_eq!(s.pipeline.stats().tables.waiting, 0);
    }
}

#[test]
fn who_read_the_request_is_the_same_when_it_writes_the_response() {
    for context in [0xc0, 0xc0 | STACK, 0xc0 | MIGRATES] {
        let mut s = connected();
        s.run(1, context);
        s.recv(1, WEB, "?one\n");
        query(&mut s, context, DB, "select");
        respond(&mut s, context, WEB);
        s.assert_child("select", "one");
    }
}

/// As one that serves a connection for as long as it lasts: the loop reads the next request meanwhile.
#[test]
fn a_task_that_has_answered_can_still_be_at_the_request_before() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    query(&mut s, A, DB, "of-one");
    respond(&mut s, A, WEB);
    request(&mut s, WEB, "two");
    query(&mut s, A, DB, "of-one-or-two");
    respond(&mut s, A, WEB);
    s.assert_child("of-one", "one");
    s.assert_root("of-one-or-two");
    assert_eq!(s.pipeline.stats().spans.roots_ambiguous, 1);
    // A greenlet reads its next request itself, when it is done with the one before.
    for name in ["three", "four"] {
        s.run(1, 0xc0 | STACK);
        s.recv(1, WEB, &format!("?{name}\n"));
        query(&mut s, 0xc0 | STACK, DB, &format!("of-{name}"));
        respond(&mut s, 0xc0 | STACK, WEB);
        s.assert_child(&format!("of-{name}"), name);
    }
}

/// Its connection stays open, or is closed, and then its address can be another one's.
#[test]
fn a_greenlets_line_after_its_response_belongs_to_the_request() {
    let mut s = connected();
    for (conn, name) in [(WEB, "one"), (WEB2, "two")] {
        s.run(1, 0xc0 | STACK);
        s.recv(1, conn, &format!("?{name}\n"));
        respond(&mut s, 0xc0 | STACK, conn);
        s.run(1, 0xd0 | STACK);
        s.log(1, &format!("background {name}\n"));
        s.run(1, 0xc0 | STACK);
        s.log(1, &format!("access {name}\n"));
        match name {
            "one" => s.close(conn),
            _ => s.send(1, DB, "?more\n"),
        }
        s.log(1, &format!("later {name}\n"));
    }
    s.finish();
    for name in ["one", "two"] {
        s.assert_line(&format!("access {name}"), Some(name));
        s.assert_line(&format!("background {name}"), None);
        s.assert_line(&format!("later {name}"), None);
    }
}

#[test]
fn a_response_that_nobody_tells_the_writer_of_has_no_children() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    query(&mut s, A, DB, "select");
    respond(&mut s, 0, WEB);
    s.assert_root("select");
    // Nor one that another thread writes.
    request(&mut s, WEB, "two");
    query(&mut s, A, DB, "again");
    s.run(2, A);
    s.send(2, WEB, "!ok\n");
    s.assert_root("again");
    assert_eq!(s.pipeline.stats().tables.waiting, 0);
}

#[test]
fn a_long_answer_keeps_nobody_else_waiting() {
    let mut s = connected();
    request(&mut s, WEB, "events");
    s.run(1, A);
    s.send(1, WEB, "!o");
    request(&mut s, WEB2, "two");
    query(&mut s, B, DB, "select");
    query(&mut s, 0xc0, DB, "background");
    respond(&mut s, B, WEB2);
    s.assert_child("select", "two");
    s.assert_root("background");
}

#[test]
fn what_waits_too_long_is_a_root() {
    let mut s = connected();
    request(&mut s, WEB, "slow");
    query(&mut s, A, DB, "early");
    s.run(1, A);
    s.log(1, "early line\n");
    s.time += MAX_WAIT;
    s.tick(s.time + 1);
    s.assert_root("early");
    s.assert_line("early line", None);
    query(&mut s, A, DB, "late");
    respond(&mut s, A, WEB);
    s.assert_child("late", "slow");
    assert_eq!(s.pipeline.stats().spans.roots_expired, 1);
}

#[test]
fn after_a_loss_nothing_that_waits_is_told() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    query(&mut s, A, DB, "before");
    s.lose_events();
    query(&mut s, A, DB, "behind");
    respond(&mut s, A, WEB);
    s.assert_root("before");
    s.assert_root("behind");
    request(&mut s, WEB, "two");
    query(&mut s, A, DB, "select");
    respond(&mut s, A, WEB);
    s.assert_child("select", "two");
}

#[test]
fn what_waits_at_the_end_is_told() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    query(&mut s, A, DB, "select");
    s.run(1, A);
    s.log(1, "line\n");
    s.pipeline.finish(s.time);
    s.telemetry.extend(s.pipeline.drain());
    s.assert_root("select");
    s.assert_line("line", None);
}
