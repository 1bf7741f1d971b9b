//! Captures through the pipeline.

use super::{CaptureReplay, Replay as _};
use crate::capture::{Capture, WantedEnds};
use crate::export::Item;
use crate::pipeline::{PipelineConfig, Stats};
use crate::span::Span;

const CAPTURE: &[u8] = include_bytes!("../../../tests/fixtures/captures/loopback.pcap");

fn replayed(file: &[u8], wanted: WantedEnds, service_name: Option<&str>) -> (Vec<(String, Span)>, Stats) {
    let capture = Capture::open(file, wanted).unwrap();
    let config = PipelineConfig { wanted, ..PipelineConfig::default() };
    let mut replay = CaptureReplay::new(capture, config, service_name.map(str::to_owned), [1; 32]);
    while replay.step().unwrap().is_none() {}
    replay.finish();
    let told = replay.pipeline().drain().map(|telemetry| {
        let Item::Span(span) = telemetry.item else { panic!("a line") };
        (telemetry.resource.service_name().to_owned(), *span)
    });
    let told = told.collect();
    (told, replay.pipeline().stats())
}

/// Span names by kind: servers, clients.
fn names(wanted: WantedEnds) -> (Vec<String>, Vec<String>) {
    let (told, _) = replayed(CAPTURE, wanted, None);
    let of = |kind| {
        let mut names: Vec<String> = told
            .iter()
            .filter(|(_, span)| span.kind == kind)
            .map(|(_, span)| span.description.name.to_string())
            .collect();
        names.sort();
        names
    };
    (of(crate::span::SpanKind::Server), of(crate::span::SpanKind::Client))
}

#[test]
fn each_exchange_is_told_once_or_at_both_ends() {
    let (servers, clients) = names(WantedEnds::Both);
    assert_eq!(servers.len(), clients.len());
    assert_eq!(names(WantedEnds::Server), (servers.clone(), vec![]));
    assert_eq!(names(WantedEnds::Client), (vec![], clients.clone()));
    let (usual_servers, usual_clients) = names(WantedEnds::Auto);
    assert_eq!(usual_servers.len() + usual_clients.len(), servers.len());
    assert!(usual_servers.iter().all(|name| name.starts_with(['G', 'P', 'H'])), "{usual_servers:?}");
    assert!(usual_clients.contains(&"INSERT orders".to_owned()), "{usual_clients:?}");
}

#[test]
fn the_end_that_is_not_wanted_costs_nothing_after_its_protocol_is_known() {
    let (_, auto) = replayed(CAPTURE, WantedEnds::Auto, None);
    let (_, both) = replayed(CAPTURE, WantedEnds::Both, None);
    assert_eq!(auto.connections.opened, both.connections.opened);
    assert_eq!(auto.connections.other_end * 2, auto.connections.opened);
    assert!(auto.connections.bytes * 3 < both.connections.bytes * 2, "{auto:?}");
    assert_eq!((auto.connections.jumps, both.connections.jumps), (0, 0));
    assert!(auto.to_string().contains(": 4 http, 1 mysql, 5 redis."), "{auto}");
}

#[test]
fn ends_are_named_by_their_addresses_unless_they_have_a_name() {
    let (told, _) = replayed(CAPTURE, WantedEnds::Auto, None);
    let named =
        |prefix: &str| told.iter().find(|(_, span)| span.description.name.starts_with(prefix)).unwrap();
    assert_eq!(named("GET /hello").0, "127.0.0.1:21801");
    assert_eq!(named("HEAD").0, "[::1]:21801");
    assert_eq!(named("INSERT").0, "127.0.0.1");
    let (told, _) = replayed(CAPTURE, WantedEnds::Auto, Some("shop"));
    assert!(told.iter().all(|(service, _)| service == "shop"));
}

/// Beginning with any packet, the capture is one of connections that are under way: nothing is told that the whole
/// capture does not tell, and what begins later is told whole.
#[test]
fn a_capture_that_begins_late_tells_no_other_exchanges() {
    let keys = |file: &[u8]| -> Vec<(u64, u64, String)> {
        let (told, _) = replayed(file, WantedEnds::Auto, None);
        told.into_iter()
            .map(|(_, span)| (span.start_unix_ns, span.end_unix_ns, span.description.name.to_string()))
            .collect()
    };
    let whole = keys(CAPTURE);
    let mut at = 24;
    let mut packets = 0;
    while at < CAPTURE.len() {
        let captured = u32::from_le_bytes(CAPTURE[at + 8..at + 12].try_into().unwrap()) as usize;
        at += 16 + captured;
        packets += 1;
        let late = [&CAPTURE[..24], &CAPTURE[at..]].concat();
        let told = keys(&late);
        for span in &told {
            assert!(whole.contains(span), "{span:?} after {packets} packets is not of {whole:?}");
        }
        if packets == 1 {
            assert_eq!(told.len(), whole.len());
        }
    }
    assert!(packets > 100);
}
