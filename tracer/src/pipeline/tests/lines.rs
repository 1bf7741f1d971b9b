//! Log lines and the span they belong to.

use tracer_ebpf::event::flag;

use super::script::{Conn, NOT_A_LOG, Script, WALL};
use crate::correlate::active::LINGER_LIMIT;
use crate::pipeline::{LogMode, PipelineConfig};
use crate::span::Attribute;

const WEB: Conn = (1, 11);
const WEB2: Conn = (2, 12);

fn serving() -> Script {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.accept(1, WEB2);
    s
}

#[test]
fn before_between_and_after() {
    let mut s = serving();
    s.log(1, "before\n");
    s.recv(1, WEB, "?get\n");
    s.log(1, "during\n");
    let written = s.time;
    s.log(2, "elsewhere\n");
    s.send(1, WEB, "!ok\n");
    s.log(1, "access log\n");
    s.log(1, "more of it\n");
    s.wait(1);
    s.log(1, "after a wait\n");
    s.assert_line("before", None);
    s.assert_line("during", Some("get"));
    s.assert_line("elsewhere", None);
    s.assert_line("access log", Some("get"));
    s.assert_line("more of it", Some("get"));
    s.assert_line("after a wait", None);
    assert_eq!(s.line("during").attributes, []);
    assert_eq!(s.line("during").time_unix_ns, written + WALL);
    assert_eq!(s.line("access log").attributes, [Attribute::new("tracer.correlation", "after_response")]);
    let stats = s.pipeline.stats().logs;
    assert_eq!((stats.exported, stats.correlated, stats.after_response), (6, 3, 2));
}

#[test]
fn a_writer_for_others_has_no_afterglow() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    s.send(2, WEB, "!o");
    s.log(2, "while it writes\n");
    s.send(2, WEB, "k\n");
    s.recv(1, WEB, "?next\n");
    s.log(2, "for the next one\n");
    s.send(2, WEB, "!ok\n");
    s.assert_line("while it writes", Some("get"));
    s.assert_line("for the next one", None);
}

#[test]
fn a_read_ends_the_afterglow() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    s.recv_end(1, WEB2, 0);
    s.log(1, "late\n");
    s.assert_line("late", None);
}

#[test]
fn so_does_the_next_request_and_time() {
    let mut s = serving();
    s.recv(1, WEB, "?one\n");
    s.send(1, WEB, "!ok\n");
    s.recv(1, WEB, "?two\n");
    s.log(1, "of two\n");
    s.send(1, WEB, "!ok\n");
    s.time += LINGER_LIMIT + 1;
    s.log(1, "much later\n");
    s.assert_line("of two", Some("two"));
    s.assert_line("much later", None);
}

#[test]
fn a_pipelined_request_takes_the_lines_at_once() {
    let mut s = serving();
    s.recv(1, WEB, "?one\n?two\n");
    s.log(1, "of one\n");
    s.send(1, WEB, "!ok\n");
    s.log(1, "of two\n");
    s.send(1, WEB, "!ok\n");
    s.assert_line("of one", Some("one"));
    s.assert_line("of two", Some("two"));
    assert_eq!(s.line("of two").attributes, []);
}

#[test]
fn a_suspended_binding_has_no_lines_and_no_afterglow() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    s.epoll(1);
    s.log(1, "during\n");
    s.send(1, WEB, "!ok\n");
    s.log(1, "after\n");
    s.assert_line("during", None);
    s.assert_line("after", None);
}

#[test]
fn a_thread_that_only_wrote_the_response_has_no_afterglow() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    s.send(2, WEB, "!ok\n");
    s.log(1, "of the reader\n");
    s.log(2, "of the writer\n");
    s.assert_line("of the reader", None);
    s.assert_line("of the writer", None);
}

#[test]
fn a_candidate_counts_only_if_it_is_a_log() {
    let mut s = serving();
    let mut header = s.header(1);
    header.flags = flag::LOG_CANDIDATE;
    s.log_event(header, NOT_A_LOG, "to a pipe\n");
    s.log_event(header, 7, "to the log\n");
    header.flags = 0;
    s.log_event(header, NOT_A_LOG, "to what the probe knows as a log\n");
    s.line("to the log");
    s.line("to what the probe knows as a log");
    let stats = s.pipeline.stats().logs;
    assert_eq!((stats.exported, stats.not_logs), (2, 1));
}

#[test]
fn only_correlated_lines_when_asked() {
    let mut s = Script::with(PipelineConfig { logs: LogMode::Correlated, ..PipelineConfig::default() });
    s.accept(1, WEB);
    s.log(1, "before\n");
    s.recv(1, WEB, "?get\n");
    s.log(1, "during\n");
    s.send(1, WEB, "!ok\n");
    s.assert_line("during", Some("get"));
    assert_eq!(s.telemetry.len(), 2);
    assert_eq!(s.pipeline.stats().logs.uncorrelated_dropped, 1);
}

#[test]
fn unfinished_lines_come_in_the_end() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    s.log(1, "no end");
    s.send(1, WEB, "!ok\n");
    s.tick(s.time + 2_000_000_000);
    s.assert_line("no end", Some("get"));
}
