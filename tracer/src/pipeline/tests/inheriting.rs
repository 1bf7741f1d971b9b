//! Threads that are made for a request: those that end with it inherit it.

use tracer_ebpf::ProcessNote;

use super::late::{DB, WEB, connected, evidence};
use super::script::Script;
use crate::correlate::late::EXIT_GRACE;
use crate::span::Attribute;

fn calls(s: &mut Script, tid: u32, name: &str) {
    s.send(tid, DB, &format!("?{name}\n"));
    s.recv(tid, DB, "!rows\n");
}

#[test]
fn a_thread_that_ends_with_the_request_it_was_made_for_inherits_it() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    calls(&mut s, 2, "select");
    s.log(2, "line\n");
    s.process(2, ProcessNote::ThreadExit);
    s.send(1, WEB, "!ok\n");
    s.assert_child("select", "one");
    s.assert_line("line", Some("one"));
    assert_eq!(evidence(&s, "select"), [Attribute::new("tracer.correlation", "request_thread")]);
}

#[test]
fn the_end_of_a_joined_thread_may_be_told_a_moment_late() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    calls(&mut s, 2, "select");
    s.send(1, WEB, "!ok\n");
    s.process(2, ProcessNote::ThreadExit);
    assert_eq!(s.names(), ["one"], "its process may be ending");
    s.tick(s.time + EXIT_GRACE);
    s.assert_child("select", "one");
}

#[test]
fn a_worker_of_a_pool_does_not_inherit() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    calls(&mut s, 2, "of-one");
    s.send(1, WEB, "!ok\n");
    calls(&mut s, 2, "of-two");
    s.tick(s.time + EXIT_GRACE);
    s.assert_root("of-one");
    s.assert_root("of-two");
    assert_eq!(s.pipeline.stats().spans.roots_outlived, 2);
}

#[test]
fn the_end_of_a_process_tells_nothing_of_its_threads() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    calls(&mut s, 2, "select");
    s.send(1, WEB, "!ok\n");
    s.process(2, ProcessNote::ThreadExit);
    s.process(1, ProcessNote::Exit);
    s.tick(s.time + EXIT_GRACE);
    s.assert_root("select");
}

#[test]
fn a_thread_made_by_one_that_inherits_does_so_too() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    s.start_thread(2, 3);
    calls(&mut s, 3, "select");
    s.log(3, "line\n");
    s.process(3, ProcessNote::ThreadExit);
    s.process(2, ProcessNote::ThreadExit);
    s.send(1, WEB, "!ok\n");
    s.assert_child("select", "one");
    s.assert_line("line", Some("one"));
}

#[test]
fn a_thread_inherits_nothing_from_a_maker_that_outlives_the_request() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    s.start_thread(2, 3);
    calls(&mut s, 3, "select");
    s.process(3, ProcessNote::ThreadExit);
    s.send(1, WEB, "!ok\n");
    s.tick(s.time + EXIT_GRACE);
    s.assert_root("select");
    assert_eq!(s.pipeline.stats().spans.roots_outlived, 1);
}

#[test]
fn a_thread_that_outlives_its_request_does_not_inherit_from_its_maker() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    s.start_thread(2, 3);
    calls(&mut s, 2, "of-maker");
    calls(&mut s, 3, "select");
    s.process(2, ProcessNote::ThreadExit);
    s.send(1, WEB, "!ok\n");
    s.tick(s.time + EXIT_GRACE);
    s.assert_child("of-maker", "one");
    s.assert_root("select");
}

#[test]
fn the_ends_of_threads_and_their_makers_may_all_be_told_a_moment_late() {
    let mut s = connected();
    s.recv(1, WEB, "?one\n");
    s.start_thread(1, 2);
    s.start_thread(2, 3);
    calls(&mut s, 3, "select");
    s.send(1, WEB, "!ok\n");
    s.process(3, ProcessNote::ThreadExit);
    s.process(2, ProcessNote::ThreadExit);
    s.tick(s.time + EXIT_GRACE);
    s.assert_child("select", "one");
}
