//! Trace context: ids, parents from elsewhere, sampling.

use std::collections::HashMap;

use tracer_ebpf::Direction;

use super::script::{Conn, Script, WALL};
use crate::correlate::health::{HealthChecks, HealthMode};
use crate::correlate::sampler::Sampler;
use crate::correlate::trace_context::Propagators;
use crate::pipeline::{Keep, PipelineConfig};
use crate::protocol::PROTOCOLS;
use crate::span::SpanKind;

const WEB: Conn = (1, 11);
const DB: Conn = (3, 13);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

fn serve(s: &mut Script, request: &str) {
    s.accept(1, WEB);
    s.connect(1, DB);
    s.recv(1, WEB, request);
    s.log(1, "line\n");
    s.send(1, DB, "?select\n");
    s.recv(1, DB, "!rows\n");
    s.send(1, WEB, "!ok\n");
}

#[test]
fn a_span_tells_what_happened() {
    let mut s = Script::new();
    serve(&mut s, "?get\n");
    let (get, select) = (s.span("get"), s.span("select"));
    assert_eq!((get.kind, select.kind), (SpanKind::Server, SpanKind::Client));
    assert!(get.sampled && !get.remote_parent && get.parent.is_none());
    assert_ne!(get.span_id, select.span_id);
    // accept 1010, connect 1020, request 1030, line 1040, select 1050, rows 1060, response 1070.
    assert_eq!((get.start_unix_ns, get.end_unix_ns), (WALL + 1030, WALL + 1070));
    assert_eq!((select.start_unix_ns, select.end_unix_ns), (WALL + 1050, WALL + 1060));
    assert_eq!(select.first_byte_unix_ns, Some(WALL + 1060));
}

#[test]
fn a_callers_trace_is_continued() {
    let mut s = Script::new();
    serve(&mut s, &format!("?get traceparent={PARENT}-01 tracestate=a=1,b=2\n"));
    let get = s.span("get");
    assert_eq!(get.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(get.parent.unwrap().to_string(), "00f067aa0ba902b7");
    assert!(get.remote_parent && get.sampled);
    assert_eq!((get.trace_state.as_str(), s.span("select").trace_state.as_str()), ("a=1,b=2", "a=1,b=2"));
    s.assert_child("select", "get");
    s.assert_line("line", Some("get"));
    assert_eq!(s.pipeline.stats().spans.remote_parents, 1);
}

#[test]
fn an_unsampled_trace_is_not_exported_but_its_lines_are() {
    let mut s = Script::new();
    serve(&mut s, &format!("?get traceparent={PARENT}-00\n"));
    assert_eq!(s.names(), [""; 0]);
    let (trace, _, sampled) = s.line("line").context.unwrap();
    assert_eq!((trace.to_string().as_str(), sampled), ("4bf92f3577b34da6a3ce929d0e0e4736", false));
    assert_eq!(s.pipeline.stats().spans.unsampled, 2);
    let mut s = Script::with(PipelineConfig { sampler: Sampler::always_on(), ..PipelineConfig::default() });
    serve(&mut s, &format!("?get traceparent={PARENT}-00\n"));
    assert_eq!(s.names(), ["select", "get"]);
}

#[test]
fn a_health_check_begins_no_trace_and_what_it_causes_none() {
    for (told, mode, dropped) in [
        ("kubelet", HealthMode::default(), true),
        ("kubelet", HealthMode::Keep, false),
        ("path", HealthMode::default(), false),
        ("path", HealthMode::DropAll, true),
    ] {
        let health_checks = HealthChecks::of_mode(mode);
        let mut s = Script::with(PipelineConfig { health_checks, ..PipelineConfig::default() });
        serve(&mut s, &format!("?get traceparent={PARENT}-01 health={told}\n"));
        assert_eq!(s.names().is_empty(), dropped, "{told} {mode:?}");
        let stats = s.pipeline.stats().spans;
        assert_eq!((stats.health_checks, stats.unsampled), if dropped { (1, 2) } else { (0, 0) });
    }
}

#[test]
fn a_share_of_the_health_checks_is_traced() {
    let health_checks = HealthChecks { sampler: Sampler::of_share(0.25), ..HealthChecks::default() };
    let mut s = Script::with(PipelineConfig { health_checks, ..PipelineConfig::default() });
    s.accept(1, WEB);
    for _ in 0..400 {
        s.recv(1, WEB, "?get health=kubelet\n");
        s.send(1, WEB, "!ok\n");
    }
    let stats = s.pipeline.stats().spans;
    assert_eq!(stats.health_checks + stats.health_checks_sampled, 400);
    assert!((60..140).contains(&stats.health_checks_sampled), "{}", stats.health_checks_sampled);
    assert_eq!(s.names().len() as u64, stats.health_checks_sampled);
}

#[test]
fn a_malformed_traceparent_is_none_and_a_malformed_tracestate_harms_nothing() {
    let mut s = Script::new();
    serve(&mut s, "?get traceparent=00-abc tracestate=a=1\n");
    let get = s.span("get");
    assert!(get.parent.is_none() && get.trace_state.is_empty());
    assert_eq!(s.pipeline.stats().spans.bad_traceparent, 1);
    let mut s = Script::new();
    serve(&mut s, &format!("?get traceparent={PARENT}-01 tracestate=A\n"));
    assert!(s.span("get").remote_parent && s.span("get").trace_state.is_empty());
    assert_eq!(s.pipeline.stats().spans.bad_tracestate, 1);
}

#[test]
fn what_a_client_sends_along_changes_nothing() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, &format!("?select traceparent={PARENT}-00\n"));
    s.recv(1, DB, "!rows\n");
    s.assert_root("select");
}

#[test]
fn stamps_in_the_wrong_order_make_no_span_that_ends_before_it_starts() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?a\n");
    s.moved(2, WEB, Direction::Egress, "!\n", |data| data.header.time_ns -= 500);
    let span = s.span("a");
    assert_eq!(span.end_unix_ns, span.start_unix_ns);
    assert_eq!(span.first_byte_unix_ns, Some(span.start_unix_ns));
}

#[test]
fn posts_of_telemetry_are_no_spans() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?otlp\n");
    s.recv(1, DB, "!ok\n");
    assert_eq!(s.names(), [""; 0]);
    assert_eq!(s.pipeline.stats().spans.telemetry_posts, 1);
}

#[test]
fn the_end_ends_everything() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?select\n");
    s.log(1, "unfinished");
    s.pipeline.finish(s.time);
    let told: Vec<_> = s.pipeline.drain().collect();
    assert_eq!(told.len(), 1, "the line; what the statement will become is not known");
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.abandoned_forgotten, stats.tables.connections), (1, 0));
}

#[test]
fn the_summary_speaks_in_sentences() {
    let mut s = Script::new();
    serve(&mut s, "?get\n");
    let summary = s.pipeline.stats().to_string();
    assert!(summary.contains("7 events: 4 of sockets, 1 of logs, 2 of connections"), "{summary}");
    assert!(summary.contains("2 connections: 2 line."), "{summary}");
    assert!(summary.contains("1 requests answered and 1 made: 2 spans."), "{summary}");
    assert!(serde_json::to_string(&s.pipeline.stats()).unwrap().contains(r#""by_protocol":{"line":2}"#));
}

#[test]
fn b3_is_continued_where_it_is_asked_for() {
    const B3: &str = "b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1";
    let serve = |propagators: &str, fields: &str| {
        let propagators = Propagators::from_variable(Some(propagators));
        let mut s = Script::speaking(PROTOCOLS, PipelineConfig { propagators, ..PipelineConfig::default() });
        s.accept(1, WEB);
        s.recv(1, WEB, &format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"));
        s.send(1, WEB, "HTTP/1.1 204 No Content\r\n\r\n");
        let parents =
            s.spans().iter().map(|span| span.parent.map(|parent| parent.to_string())).collect::<Vec<_>>();
        (parents, s.pipeline.stats().spans.bad_b3)
    };
    let parent = Some("e457b5a2e4d86bd1".to_owned());
    assert_eq!(serve("b3", &format!("{B3}-1")), (vec![parent.clone()], 0));
    assert_eq!(serve("b3multi", B3), (vec![parent], 0), "the caller left the decision to us");
    assert_eq!(serve("b3", &format!("{B3}-0")), (vec![], 0));
    assert_eq!(serve("b3", "b3: 0"), (vec![], 0));
    assert_eq!(serve("b3", &format!("{B3}-1\r\n{B3}-1")), (vec![None], 1));
    assert_eq!(serve("tracecontext", &format!("{B3}-0")), (vec![None], 0));
}

#[test]
fn all_spans_of_a_trace_share_one_decision() {
    let sampler = Sampler::from_variables(Some("traceidratio"), Some("0.5")).unwrap();
    let mut s = Script::with(PipelineConfig { sampler, ..PipelineConfig::default() });
    s.accept(1, WEB);
    s.connect(1, DB);
    for _ in 0..200 {
        s.recv(1, WEB, "?get\n");
        s.send(1, DB, "?select\n");
        s.recv(1, DB, "!rows\n");
        s.send(1, WEB, "!ok\n");
    }
    let mut traces: HashMap<_, usize> = HashMap::new();
    s.spans().iter().for_each(|span| *traces.entry(span.trace_id).or_default() += 1);
    assert!((60..140).contains(&traces.len()), "{}", traces.len());
    assert!(traces.values().all(|spans| *spans == 2));
}

#[test]
fn slow_traces_are_kept_though_they_are_not_sampled() {
    let keep = Keep { errors: false, slower_than: Some(1_000_000) };
    let sampler = Sampler::from_variables(Some("always_off"), None).unwrap();
    let mut s = Script::with(PipelineConfig { sampler, keep, ..PipelineConfig::default() });
    serve(&mut s, "?quick\n");
    s.recv(1, WEB, "?slow\n");
    s.send(1, DB, "?update\n");
    s.recv(1, DB, "!ok\n");
    s.time += 1_000_000;
    s.send(1, WEB, "!ok\n");
    s.assert_child("update", "slow");
    assert_eq!(s.names(), ["update", "slow"]);
    assert!(!s.span("slow").sampled, "the trace's flag stays what it is");
    s.tick(s.time + 10_000_000_000);
    let stats = s.pipeline.stats();
    assert_eq!((stats.retention.kept, stats.retention.dropped), (2, 2));
    assert_eq!((stats.spans.exported, stats.spans.held), (1, 3));
}
