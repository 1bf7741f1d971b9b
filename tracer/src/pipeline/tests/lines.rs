//! Log lines and the span they belong to.

use tracer_ebpf::ConnectionNote;
use tracer_ebpf::event::flag;

use super::script::{Conn, NOT_A_LOG, Script, WALL};
use crate::correlate::active::LINGER_LIMIT;
use crate::pipeline::{LogMode, PipelineConfig};
use crate::probe::decode::{Event, Log};
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

/// As a pool does that puts the connection back in its queue after each response.
#[test]
fn while_a_request_is_read_ahead_there_is_no_afterglow() {
    let mut s = serving();
    s.recv(1, WEB, "?one\n?two\n");
    s.recv(2, WEB2, "?three\n");
    s.send(2, WEB2, "!ok\n");
    s.send(1, WEB, "!ok\n");
    s.log(2, "of two or three\n");
    s.send(2, WEB, "!ok\n");
    s.recv(1, WEB, "?four\n");
    s.send(1, WEB, "!ok\n");
    s.log(1, "after four\n");
    s.assert_line("of two or three", None);
    s.assert_line("after four", Some("four"));
}

/// A pool's worker gets its next task after that, and no call shows it.
#[test]
fn the_connections_close_ends_the_afterglow() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    s.note(1, WEB2, ConnectionNote::Shutdown);
    s.log(1, "access log\n");
    s.note(2, WEB, ConnectionNote::Shutdown);
    s.log(1, "still there\n");
    s.note(1, WEB, ConnectionNote::Shutdown);
    s.log(1, "of another task\n");
    s.assert_line("access log", Some("get"));
    s.assert_line("still there", Some("get"));
    s.assert_line("of another task", None);
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
fn between_pipelined_requests_a_line_can_be_of_either() {
    let mut s = serving();
    s.recv(1, WEB, "?one\n?two\n");
    s.log(1, "of one\n");
    s.send(1, WEB, "!ok\n");
    s.log(1, "of either\n");
    s.send(1, WEB, "!o");
    s.log(1, "of two\n");
    s.send(1, WEB, "k\n");
    s.log(1, "after two\n");
    s.assert_line("of one", Some("one"));
    s.assert_line("of either", None);
    s.assert_line("of two", Some("two"));
    assert_eq!(s.line("of two").attributes, []);
    s.assert_line("after two", Some("two"));
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

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

#[test]
fn fields_of_a_json_line_become_attributes_and_the_line_stays() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    let line =
        r#"{"level":"warning","message":"m","user":{"id":7},"tracer.truncated":true,"log.iostream":"x"}"#;
    s.log(1, &format!("{line}\n"));
    s.send(1, WEB, "!ok\n");
    s.assert_line(line, Some("get"));
    let record = s.line(line);
    assert_eq!(record.severity.as_ref().map(|severity| severity.number), Some(13));
    let names: Vec<_> = record.attributes.iter().map(|entry| entry.key.as_ref()).collect();
    assert_eq!(names, ["level", "message", "user.id"]);
}

#[test]
fn ids_that_the_application_logged_win() {
    let mut s = serving();
    s.recv(1, WEB, &format!("?get traceparent=00-{TRACE}-{SPAN}-01\n"));
    let other = TRACE.replace('4', "5");
    let both = format!("{{\"trace_id\":\"{other}\",\"span_id\":\"{SPAN}\",\"trace_flags\":\"00\"}}");
    let trace_only = format!("trace_id={other} other");
    let same_trace = format!("trace_id={TRACE} same");
    for line in [&both, &trace_only, &same_trace] {
        s.log(1, &format!("{line}\n"));
    }
    s.send(1, WEB, "!ok\n");
    let ids = |line: &str| {
        let (trace, span, sampled) = s.line(line).context.unwrap();
        (trace.to_string(), span.map(|span| span.to_string()), sampled)
    };
    assert_eq!(ids(&both), (other.clone(), Some(SPAN.to_owned()), false));
    assert_eq!(ids(&trace_only), (other, None, true));
    s.assert_line(&same_trace, Some("get"));
    let stats = s.pipeline.stats().logs;
    assert_eq!((stats.correlated, stats.ids_of_application), (1, 2));
}

#[test]
fn a_process_that_writes_too_much_loses_lines_and_the_next_one_says_how_many() {
    let log_rate = std::num::NonZeroU32::new(1);
    let mut s = Script::with(PipelineConfig { log_rate, ..PipelineConfig::default() });
    for line in 0..15 {
        s.log(1, &format!("line {line}\n"));
    }
    s.tgid = 102;
    s.log(1, "another process\n");
    s.tgid = 100;
    assert_eq!((s.telemetry.len(), s.pipeline.stats().logs.rate_limited), (11, 5));
    s.time += 1_000_000_000;
    s.log(1, "later\n");
    assert_eq!(s.line("later").attributes, [Attribute::new("tracer.dropped_lines", 5_i64)]);
    assert!(
        s.pipeline.stats().to_string().contains("5 log lines were dropped because their process wrote more")
    );
}

#[test]
fn an_uncaught_exception_is_one_record_of_its_request() {
    let mut s = serving();
    s.recv(1, WEB, "?get\n");
    for line in ["Traceback (most recent call last):\n", "  File \"a\", line 1\n", "    f()\n", "E: x\n"] {
        let header = s.header(1);
        let length = u32::try_from(line.len()).unwrap();
        s.event(&Event::Log(Log { header, ino: 7, dev: 1, fd: 2, length, bytes: line.as_bytes() }));
    }
    s.send(1, WEB, "!ok\n");
    s.log(1, "access log\n");
    s.assert_line("Traceback (most recent call last):\n  File \"a\", line 1\n    f()\nE: x", Some("get"));
    s.assert_line("access log", Some("get"));
}
