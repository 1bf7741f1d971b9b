//! The life-cycle of bindings between threads and server exchanges.

use tracer_ebpf::{Direction, ProcessNote};

use super::script::{Conn, Script};
use crate::pipeline::{Limits, PipelineConfig};

const WEB: Conn = (1, 11);
const WEB2: Conn = (2, 12);
const DB: Conn = (3, 13);
const DB2: Conn = (4, 14);

/// A server thread that made a database connection.
fn connected() -> Script {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.accept(1, WEB2);
    s.connect(1, DB);
    s.connect(1, DB2);
    s
}

fn query(s: &mut Script, tid: u32, conn: Conn, name: &str) {
    s.send(tid, conn, &format!("?{name}\n"));
    s.recv(tid, conn, "!rows\n");
}

#[test]
fn a_call_made_for_a_request_is_its_child() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    query(&mut s, 1, DB, "select");
    query(&mut s, 1, DB, "commit");
    s.send(1, WEB, "!ok\n");
    query(&mut s, 1, DB, "afterwards");
    s.assert_child("select", "get");
    s.assert_child("commit", "get");
    s.assert_root("afterwards");
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.children, stats.spans.roots_no_binding), (2, 1));
    assert_eq!(stats.tables.bindings, 0);
}

#[test]
fn what_is_answered_is_active_no_more_though_it_is_told_later() {
    let mut s = connected();
    for round in ["a", "b", "c"] {
        s.recv(1, WEB, &format!("?get-{round} held\n"));
        query(&mut s, 1, DB, &format!("select-{round}"));
        s.send(1, WEB, "!ok\n");
        query(&mut s, 1, DB, &format!("afterwards-{round}"));
    }
    s.recv(1, WEB, "?get-d\n");
    s.send(1, WEB, "!ok\n");
    for round in ["a", "b", "c"] {
        s.assert_child(&format!("select-{round}"), &format!("get-{round}"));
        s.assert_root(&format!("afterwards-{round}"));
    }
    assert_eq!(s.pipeline.stats().tables.bindings, 0);
}

#[test]
fn keep_alive_gives_each_request_its_own_calls() {
    let mut s = connected();
    for round in ["a", "b", "c"] {
        s.recv(1, WEB, &format!("?get-{round}\n"));
        query(&mut s, 1, DB, &format!("select-{round}"));
        s.send(1, WEB, "!ok\n");
    }
    for round in ["a", "b", "c"] {
        s.assert_child(&format!("select-{round}"), &format!("get-{round}"));
    }
}

#[test]
fn a_request_in_pieces_is_bound_from_its_first_byte() {
    let mut s = connected();
    s.recv(1, WEB, "?get");
    query(&mut s, 1, DB, "early");
    s.recv(1, WEB, "-it\n");
    s.send(1, WEB, "!o");
    query(&mut s, 1, DB, "late");
    s.send(1, WEB, "k\n");
    s.assert_child("early", "get-it");
    s.assert_child("late", "get-it");
}

#[test]
fn pipelined_requests_take_their_turns() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n?two\n?thr");
    query(&mut s, 1, DB, "first");
    s.send(1, WEB, "!ok\n");
    // Of the first, when it is over, or already of the second.
    query(&mut s, 1, DB, "either");
    s.log(1, "an access log's\n");
    s.send(1, WEB, "!o");
    query(&mut s, 1, DB, "second");
    s.send(1, WEB, "k\n");
    s.recv(1, WEB, "ee\n");
    query(&mut s, 1, DB, "third");
    s.send(1, WEB, "!ok\n");
    query(&mut s, 1, DB, "none");
    s.assert_child("first", "one");
    s.assert_root("either");
    s.assert_line("an access log's", None);
    s.assert_child("second", "two");
    s.assert_child("third", "three");
    s.assert_root("none");
    let stats = s.pipeline.stats();
    assert_eq!((stats.bindings.rebound, stats.spans.roots_suspended), (2, 1));
}

/// As a pool does that puts the connection back in its queue after each response.
#[test]
fn a_request_that_was_read_ahead_may_be_another_threads() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n?two\n");
    s.send(1, WEB, "!ok\n");
    query(&mut s, 1, DB, "of-another");
    query(&mut s, 2, DB2, "of-two");
    s.send(2, WEB, "!ok\n");
    s.recv(1, WEB2, "?three\n");
    query(&mut s, 1, DB, "of-three");
    s.send(1, WEB2, "!ok\n");
    s.assert_root("of-another");
    s.assert_root("of-two");
    s.assert_child("of-three", "three");
}

#[test]
fn a_thread_that_reads_more_of_the_request_takes_it_over() {
    let mut s = connected();
    s.recv(1, WEB, "?get");
    s.recv(2, WEB, "-it\n");
    query(&mut s, 1, DB, "of-the-reader");
    query(&mut s, 2, DB2, "of-the-worker");
    s.send(2, WEB, "!ok\n");
    s.assert_root("of-the-reader");
    s.assert_child("of-the-worker", "get-it");
}

#[test]
fn a_thread_that_writes_the_response_takes_it_over() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    s.send(2, WEB, "!o");
    query(&mut s, 1, DB, "of-the-reader");
    query(&mut s, 2, DB2, "of-the-writer");
    s.send(2, WEB, "k\n");
    s.assert_root("of-the-reader");
    s.assert_child("of-the-writer", "get");
}

#[test]
fn a_worker_that_is_merely_handed_a_request_does_not_inherit_it() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    query(&mut s, 2, DB, "select");
    s.send(2, WEB, "!ok\n");
    s.assert_root("select");
}

#[test]
fn a_second_connections_request_suspends_both_until_both_end() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    query(&mut s, 1, DB, "alone");
    s.recv(1, WEB2, "?two\n");
    query(&mut s, 1, DB, "mixed");
    s.send(1, WEB, "!ok\n");
    query(&mut s, 1, DB, "still-mixed");
    s.recv(1, WEB, "?three\n");
    query(&mut s, 1, DB, "joined");
    s.send(1, WEB2, "!ok\n");
    s.send(1, WEB, "!ok\n");
    s.recv(1, WEB, "?four\n");
    query(&mut s, 1, DB, "alone-again");
    s.send(1, WEB, "!ok\n");
    s.assert_child("alone", "one");
    s.assert_root("mixed");
    s.assert_root("still-mixed");
    s.assert_root("joined");
    s.assert_child("alone-again", "four");
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.roots_suspended, stats.bindings.suspended_by_request), (3, 3));
}

#[test]
fn a_wait_on_several_descriptors_suspends_and_reads_do_not_resume() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    query(&mut s, 1, DB, "before");
    s.wait(1);
    query(&mut s, 1, DB, "after-a-simple-wait");
    s.epoll(1);
    s.recv(1, DB, "!pushed\n");
    query(&mut s, 1, DB, "after");
    s.send(1, WEB, "!ok\n");
    s.recv(1, WEB, "?next\n");
    query(&mut s, 1, DB, "of-the-next");
    s.send(1, WEB, "!ok\n");
    s.assert_child("before", "get");
    s.assert_child("after-a-simple-wait", "get");
    s.assert_root("after");
    s.assert_child("of-the-next", "next");
    assert_eq!(s.pipeline.stats().bindings.suspended_by_wait, 1);
}

#[test]
fn a_wait_between_the_first_byte_and_its_recognition_counts() {
    let mut s = connected();
    s.recv(1, WEB, "?");
    s.epoll(1);
    s.recv(1, WEB, "get\n");
    query(&mut s, 1, DB, "select");
    s.send(1, WEB, "!ok\n");
    s.assert_root("select");
}

#[test]
fn a_gap_in_the_response_unbinds() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    s.lose(WEB, Direction::Egress, 10);
    s.send(1, WEB, "rest\n");
    query(&mut s, 1, DB, "select");
    assert_eq!(s.names(), ["select"]);
    s.assert_root("select");
    assert_eq!(s.pipeline.stats().spans.abandoned_gap, 1);
    s.recv(1, WEB, "?next\n");
    query(&mut s, 1, DB, "of-the-next");
    s.send(1, WEB, "!ok\n");
    s.assert_child("of-the-next", "next");
}

#[test]
fn a_pooled_connection_used_by_two_threads_at_once() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.recv(2, WEB2, "?two\n");
    s.send(1, DB, "?of-one\n");
    s.send(2, DB, "?of-two\n");
    s.recv(2, DB, "!a\n!b\n");
    s.send(1, WEB, "!ok\n");
    s.send(2, WEB2, "!ok\n");
    s.assert_child("of-one", "one");
    s.assert_child("of-two", "two");
}

#[test]
fn a_call_that_outlives_its_request_keeps_its_parent() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    s.send(1, DB, "?slow\n");
    s.send(1, WEB, "!ok\n");
    s.recv(3, DB, "!rows\n");
    s.assert_child("slow", "get");
    assert!(s.span("slow").end_unix_ns > s.span("get").end_unix_ns, "times are never adjusted");
}

#[test]
fn a_greeting_that_is_read_is_a_child_of_the_request_that_connected() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    s.connect(1, (9, 9));
    s.recv(1, (9, 9), "!welcome\n");
    s.send(1, WEB, "!ok\n");
    s.assert_child("greeting", "get");
}

#[test]
fn a_thread_that_ends_has_no_request() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    s.process(1, ProcessNote::ThreadExit);
    query(&mut s, 1, DB, "by-another-thread-with-the-same-id");
    s.assert_root("by-another-thread-with-the-same-id");
    s.send(2, WEB, "!o");
    query(&mut s, 2, DB, "by-the-writer");
    s.send(2, WEB, "k\n");
    s.assert_child("by-the-writer", "get");
}

#[test]
fn a_forgotten_thread_has_no_request() {
    let limits = Limits { threads: 2, ..Limits::default() };
    let mut s = Script::with(PipelineConfig { limits, ..PipelineConfig::default() });
    for tid in [1, 2, 3] {
        s.accept(tid, (u64::from(tid), 1));
        s.recv(tid, (u64::from(tid), 1), &format!("?get-{tid}\n"));
    }
    for tid in [3, 2, 1] {
        s.connect(tid, (u64::from(tid + 10), 1));
        query(&mut s, tid, (u64::from(tid + 10), 1), &format!("select-{tid}"));
        s.send(tid, (u64::from(tid), 1), "!ok\n");
    }
    s.assert_root("select-1");
    s.assert_child("select-2", "get-2");
    s.assert_child("select-3", "get-3");
    assert_eq!(s.names().len(), 6);
    assert!(s.pipeline.stats().bindings.evicted_threads >= 1);
}

#[test]
fn a_server_that_acts_as_client_is_no_second_request() {
    let mut s = connected();
    s.recv(1, WEB, "?outer\n");
    s.send(1, DB, "?inner\n");
    // The same process serves the inner request, on another thread.
    s.recv(2, WEB2, "?inner-served\n");
    query(&mut s, 2, DB2, "deep");
    s.send(2, WEB2, "!ok\n");
    s.recv(1, DB, "!ok\n");
    s.send(1, WEB, "!ok\n");
    s.assert_child("inner", "outer");
    s.assert_child("deep", "inner-served");
}

#[test]
fn an_exchange_that_makes_no_span_unbinds() {
    let mut s = connected();
    s.recv(1, WEB, "?quit noreply\n");
    query(&mut s, 1, DB, "select");
    s.assert_root("select");
    assert_eq!(s.pipeline.stats().spans.abandoned_no_span, 1);
}

/// What was lost may have been the response, and the next request.
#[test]
fn after_a_loss_a_thread_has_no_request_until_more_of_one_is_seen() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    query(&mut s, 1, DB, "before");
    s.lose_events();
    query(&mut s, 1, DB, "doubtful");
    s.log(1, "doubtful line\n");
    s.send(1, WEB, "!a part");
    query(&mut s, 1, DB, "after");
    s.send(1, WEB, " and the rest\n");
    s.assert_child("before", "get");
    s.assert_root("doubtful");
    s.assert_line("doubtful line", None);
    s.assert_child("after", "get");
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.roots_doubtful, stats.events.losses), (1, 1));
}

/// Its response and its connection's end were lost: nobody will ever tell that it is over.
#[test]
fn after_a_loss_the_next_request_has_its_thread_for_itself() {
    let mut s = connected();
    s.recv(1, WEB, "?lost\n");
    s.lose_events();
    s.recv(1, WEB2, "?next\n");
    query(&mut s, 1, DB, "select");
    s.send(1, WEB2, "!ok\n");
    s.assert_child("select", "next");
    assert_eq!(s.pipeline.stats().bindings.dropped_after_loss, 1);
}

#[test]
fn a_line_after_the_response_and_a_loss_belongs_to_nothing() {
    let mut s = connected();
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    s.log(1, "access\n");
    s.lose_events();
    s.log(1, "somebody's\n");
    s.assert_line("access", Some("get"));
    s.assert_line("somebody's", None);
}
