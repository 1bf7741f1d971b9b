//! Packet captures.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{Telemetry, Tracer};
use xtask::http::Address;
use xtask::testbed::{BackendOptions, Testbed};

use super::replay::replay;
use super::tcpdump::Tcpdump;
use super::traffic;

const PATIENCE: Duration = Duration::from_secs(20);

/// A call's event is stamped when the call returns, and a packet when it is sent: never later than the call that sent or
/// received it, but for the error of two readings of the wall clock (a few microseconds) and for the up to a
/// millisecond by which a call that was cut into several packets takes the time of the last one.
const EARLIEST: i64 = -2_000_000;

/// A received packet waits for its reader to be scheduled, and before that for its turn: with three clients at four
/// threads, on a machine that runs other tests too, for some tens of milliseconds.
const LATEST: i64 = 1_000_000_000;

#[test]
fn a_capture_of_the_traffic_tells_the_same_spans_as_the_probe() {
    let testbed = Testbed::start("replay-captured").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let Address::Tcp(address) = backend.address().clone() else { panic!("not TCP") };
    let ports = [address.port(), testbed.mariadb.port(), testbed.redis.port()];
    let tcpdump = Tcpdump::start(testbed.directory(), &ports);
    let tracer = Tracer::start(testbed.directory(), &["--pid", &backend.id().to_string(), "--logs", "off"]);
    traffic::send(&backend);
    let told = |telemetry: &Telemetry| telemetry.servers().count() >= traffic::TOTAL;
    assert!(tracer.wait_until(told, PATIENCE), "{}", tracer.stderr());
    let live = tracer.stop();
    let file = tcpdump.stop();
    let replayed = replay(testbed.directory(), "captured", &file, &["--service-name", "jiwoo-backend"]);

    assert_eq!(live.lost_in_all(), 0, "{}", live.stderr);
    let (expected, told) = (by_what(&live.telemetry), by_what(&replayed.telemetry));
    assert!(live.telemetry.servers().count() == traffic::TOTAL);
    assert!(live.telemetry.clients().count() > traffic::TOTAL);
    for (what, spans) in &expected {
        let found = told.get(what).map_or(0, Vec::len);
        assert_eq!(found, spans.len(), "{what}\n{}", replayed.stderr);
        for (live, replayed) in spans.iter().zip(&told[what]) {
            assert_close(what, live, replayed);
        }
    }
    assert_eq!(told.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let names = replayed
        .telemetry
        .spans
        .iter()
        .map(|span| tests::live::text(&span.resource.attributes, "service.name"));
    assert!(names.into_iter().all(|name| name == Some("jiwoo-backend")));
}

/// Traces that came with the requests are continued; what one thread did for another span no packet tells.
#[test]
fn the_other_ends_are_told_when_they_are_wanted() {
    let testbed = Testbed::start("replay-roles").unwrap();
    let backend = testbed.backend(&BackendOptions::default()).unwrap();
    let Address::Tcp(address) = backend.address().clone() else { panic!("not TCP") };
    let tcpdump = Tcpdump::start(testbed.directory(), &[address.port(), testbed.mariadb.port()]);
    traffic::send(&backend);
    let file = tcpdump.stop();
    let kinds = |role: &str| {
        let replayed = replay(testbed.directory(), role, &file, &["--role", role]);
        let telemetry = replayed.telemetry;
        let (servers, clients) = (telemetry.servers().count(), telemetry.clients().count());
        let continued = telemetry.servers().filter(|span| span.parent_span_id == PARENT).count();
        (servers, clients, continued)
    };
    const PARENT: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
    let (servers, clients, continued) = kinds("auto");
    assert_eq!((servers, continued), (traffic::TOTAL, traffic::TOTAL / 9));
    let (both_servers, both_clients, _) = kinds("both");
    assert_eq!((both_servers, both_clients), (servers + clients, servers + clients));
    assert_eq!(kinds("server").0, both_servers);
    assert_eq!(kinds("client").1, both_clients);
}

/// Spans by everything but ids, parents and times, each list in the order of their starts.
fn by_what(telemetry: &Telemetry) -> BTreeMap<String, Vec<&Span>> {
    let mut by_what: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
    for span in &telemetry.spans {
        by_what.entry(what(&span.item)).or_default().push(&span.item);
    }
    by_what.values_mut().for_each(|spans| spans.sort_by_key(|span| span.start_time_unix_nano));
    by_what
}

fn what(span: &Span) -> String {
    let mut attributes: Vec<String> = span.attributes.iter().map(attribute).collect();
    attributes.sort();
    // A trace that came with the request is the same in both; all others are new.
    let remote = if span.kind == SpanKind::Server as i32 { &span.parent_span_id[..] } else { &[] };
    format!("{} {} {:?} {remote:?} {}", span.kind, span.name, span.status, attributes.join(", "))
}

fn attribute(attribute: &KeyValue) -> String {
    format!("{}={:?}", attribute.key, attribute.value)
}

#[track_caller]
fn assert_close(what: &str, live: &Span, replayed: &Span) {
    let pairs = [
        ("start", live.start_time_unix_nano, replayed.start_time_unix_nano),
        ("end", live.end_time_unix_nano, replayed.end_time_unix_nano),
    ];
    for (moment, live, replayed) in pairs {
        let later = live as i64 - replayed as i64;
        assert!((EARLIEST..=LATEST).contains(&later), "{moment} of {what}: {later} ns later than the packet");
    }
}
