//! Contexts of several threads, and those that move between threads.

use tracer_ebpf::ProcessNote;
use tracer_ebpf::runtime::context::MIGRATES;

use super::late::{A, B, DB, DB2, WEB, WEB2, connected, request, respond};

#[test]
fn the_same_address_on_another_thread_is_another_context() {
    let mut s = connected();
    request(&mut s, WEB, "one");
    s.run(2, A);
    s.send(2, DB, "?other\n");
    s.recv(2, DB, "!rows\n");
    respond(&mut s, A, WEB);
    s.assert_root("other");
}

#[test]
fn a_context_that_moves_between_threads_stays_the_same() {
    let mut s = connected();
    let (one, two) = (A | MIGRATES, B | MIGRATES);
    s.run(1, one);
    s.recv(1, WEB, "?one\n");
    s.run(2, two);
    s.recv(2, WEB2, "?two\n");
    // Both wait, and go on where there is room: each on the thread that read the other's request.
    s.run(1, two);
    s.send(1, DB2, "?second\n");
    s.log(1, "of the second\n");
    s.run(2, one);
    s.send(2, DB, "?first\n");
    s.recv(2, DB, "!rows\n");
    s.recv(2, DB2, "!rows\n");
    s.send(2, WEB, "!ok\n");
    s.run(3, two);
    s.send(3, WEB2, "!ok\n");
    s.assert_child("first", "one");
    s.assert_child("second", "two");
    s.assert_line("of the second", Some("two"));
}

#[test]
fn where_work_moves_between_threads_the_request_that_was_read_tells_nothing() {
    let mut s = connected();
    s.run(1, MIGRATES);
    s.recv(1, WEB, "?one\n");
    s.send(1, DB, "?query\n");
    s.recv(1, DB, "!rows\n");
    s.log(1, "somebody's line\n");
    s.send(1, WEB, "!ok\n");
    s.assert_root("query");
    s.assert_line("somebody's line", None);
    assert_eq!(s.pipeline.stats().spans.roots_suspended, 1);
}

#[test]
fn a_runtime_that_is_found_later_suspends_what_its_threads_had() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.run(1, MIGRATES);
    s.send(1, DB, "?query\n");
    s.recv(1, DB, "!rows\n");
    s.send(1, WEB, "!ok\n");
    s.assert_root("query");
}

#[test]
fn goroutines_of_a_process_that_ends_are_waited_for_no_more() {
    let mut s = connected();
    s.run(1, A | MIGRATES);
    s.recv(1, WEB, "?one\n");
    s.run(2, B | MIGRATES);
    s.send(2, DB, "?query\n");
    s.recv(2, DB, "!rows\n");
    assert_eq!(s.pipeline.stats().tables.waiting, 1);
    s.process(1, ProcessNote::Exit);
    assert_eq!(s.pipeline.stats().tables.waiting, 0);
    s.assert_root("query");
}
