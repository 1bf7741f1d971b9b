//! What is sent again, and what is not.

use std::time::Duration;

use tests::sink::{Fault, Sink};
use tonic::Code;
use tracer::export::{DropReason, RetryPolicy, Settings, Signal, Variables};

use super::stage::*;

#[test]
fn what_may_be_retried_is_retried_and_arrives_once() {
    for (variables, fault) in [
        (grpc as fn(&Sink) -> _, Fault::Grpc(Code::Unavailable, None)),
        (grpc, Fault::Grpc(Code::DeadlineExceeded, None)),
        (http, Fault::Http(503, None)),
        (http, Fault::Http(429, Some("0".to_owned()))),
    ] {
        let sink = Sink::start();
        sink.inject([fault.clone(), fault]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(5));
        assert!(sink.wait_until(|received| received.spans.len() == 5, DEADLINE));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, spans.dropped_total()), (5, 0));
        assert_eq!((sink.requests().len(), sink.spans().len()), (3, 5));
    }
}

#[test]
fn what_must_not_be_retried_is_not() {
    for (variables, fault) in [
        (http as fn(&Sink) -> _, Fault::Http(500, Some("0".to_owned()))),
        (http, Fault::Http(400, None)),
        (grpc, Fault::Grpc(Code::ResourceExhausted, None)),
        (grpc, Fault::Grpc(Code::Internal, Some(Duration::ZERO))),
        (grpc, Fault::Grpc(Code::Unimplemented, None)),
    ] {
        let sink = Sink::start();
        sink.inject([fault.clone()]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(5));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!(spans.dropped(DropReason::Rejected), 5, "{fault:?}");
        assert_eq!((sink.requests().len(), sink.spans().len()), (1, 0), "{fault:?}");
    }
}

#[test]
fn the_receivers_pause_is_kept() {
    let pause = Duration::from_millis(700);
    for (variables, fault, pause) in [
        (grpc as fn(&Sink) -> _, Fault::Grpc(Code::ResourceExhausted, Some(pause)), pause),
        (grpc, Fault::Grpc(Code::Unavailable, Some(pause)), pause),
        (http, Fault::Http(429, Some("1".to_owned())), Duration::from_secs(1)),
    ] {
        let sink = Sink::start();
        sink.inject([fault]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(1));
        assert!(sink.wait_until(|received| received.spans.len() == 1, DEADLINE));
        let requests = sink.requests();
        assert!(requests[1].at - requests[0].at >= pause);
        drop(stage);
    }
}

#[test]
fn a_partial_success_is_counted_and_never_retried() {
    for variables in [grpc as fn(&Sink) -> _, http] {
        let sink = Sink::start();
        sink.inject([Fault::Partial(2, "too old".to_owned())]);
        let stage = Stage::start(&variables(&sink));
        stage.offer(&some_spans(5));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, spans.dropped(DropReason::Rejected)), (3, 2));
        assert_eq!(sink.requests().len(), 1);
    }
}

#[test]
fn a_receiver_that_does_not_answer_in_time_is_asked_again() {
    for variables in [grpc as fn(&Sink) -> _, http] {
        let sink = Sink::start();
        sink.inject([Fault::Delay(Duration::from_secs(60))]);
        let stage = Stage::start(&with(variables(&sink), "OTEL_EXPORTER_OTLP_TIMEOUT", "200"));
        stage.offer(&some_spans(3));
        assert!(sink.wait_until(|received| received.spans.len() == 3, DEADLINE));
        assert_eq!(stage.shutdown(DEADLINE).0.exported, 3);
    }
}

#[test]
fn a_receiver_that_comes_back_gets_what_the_queue_could_hold() {
    for variables in [grpc as fn(&Sink) -> _, http] {
        let sink = Sink::start();
        let (grpc_addr, http_addr) = (sink.grpc_addr, sink.http_addr);
        let variables = with(variables(&sink), "OTEL_BSP_MAX_QUEUE_SIZE", "50");
        let stage = Stage::start(&with(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"));
        stage.offer(&some_spans(1));
        assert!(sink.wait_until(|received| received.spans.len() == 1, DEADLINE));
        drop(sink);
        stage.offer(&some_spans(1_000));
        let full = stage.tally(Signal::Spans).dropped(DropReason::QueueFull);
        // The queue, and what the requests under way had taken out of it.
        assert!((850..=950).contains(&full), "{full} were dropped");
        let sink = Sink::start_on(grpc_addr, http_addr);
        let all = usize::try_from(1_000 - full).unwrap();
        assert!(sink.wait_until(|received| received.spans.len() == all, DEADLINE));
        let (spans, _) = stage.shutdown(DEADLINE);
        assert_eq!((spans.exported, spans.dropped_total()), (1_001 - full, full));
    }
}

#[test]
fn retries_end_with_the_time_for_them() {
    let sink = Sink::start();
    let variables: Variables =
        http(&sink).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut settings = Settings::from_variables(&variables).unwrap();
    let ms = Duration::from_millis;
    settings.retry = RetryPolicy { first: ms(10), max: ms(20), total: ms(200) };
    sink.inject((0..1_000).map(|_| Fault::Http(503, None)));
    let stage = Stage::start_with(settings);
    stage.offer(&some_spans(5));
    let (spans, _) = stage.shutdown(DEADLINE);
    assert_eq!(spans.dropped(DropReason::GaveUp), 5);
    assert!(sink.requests().len() > 3);
}

#[test]
fn an_answer_that_the_client_library_cannot_bear_costs_one_request() {
    let sink = Sink::start();
    sink.inject([Fault::GrpcGarbled]);
    let stage = Stage::start(&grpc(&sink));
    stage.offer(&some_spans(5));
    assert!(sink.wait_until(|received| received.requests.len() == 1, DEADLINE));
    stage.offer(&some_spans(3));
    let (spans, _) = stage.shutdown(DEADLINE);
    assert_eq!((spans.exported, spans.dropped(DropReason::GaveUp)), (3, 5));
}
