//! Segmentation must not matter.

use proptest::prelude::*;

use super::*;

/// Calls in order. Every call holds whole messages.
type Fixture = &'static [(Side, &'static str)];

const fn q(text: &'static str) -> (Side, &'static str) {
    (Side::Request, text)
}

const fn a(text: &'static str) -> (Side, &'static str) {
    (Side::Response, text)
}

const FIXTURES: &[Fixture] = &[
    &[
        q("GET /a?b=c HTTP/1.1\r\nHost: h\r\ntraceparent: 00-1\r\n\r\n"),
        a("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        q("POST /b HTTP/1.1\r\nUser-Agent: a\r\n b\r\nContent-Length:\r\n 3\r\n\r\nabc"),
        a("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4;e=1\r\nwiki\r\n0\r\nT: x\r\n\r\n"),
    ],
    &[
        q("PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\na\r\n0123456789\r\n0\r\n\r\n"),
        a("HTTP/1.1 100 Continue\r\n\r\n"),
        a("HTTP/1.1 201 Created\nContent-Length: 0\n\n"),
        q("HEAD /b HTTP/1.0\n\n"),
        a("HTTP/1.0 200 OK\nContent-Length: 77\n\n"),
        q("GET /c HTTP/1.0\r\n\r\n"),
        a("HTTP/1.0 200 OK\r\n\r\nuntil the end"),
    ],
    &[
        q("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
        a(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 204 No\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\n3",
        ),
    ],
    &[
        q("GET /ws HTTP/1.1\r\nUpgrade: w\r\n\r\n"),
        a("HTTP/1.1 101 Switching\r\nUpgrade: w\r\n\r\n\x05\x06GET / HTTP/1.1\r\n\r\n"),
    ],
    &[q("CONNECT h:1 HTTP/1.1\r\n\r\n"), a("HTTP/1.1 200 OK\r\n\r\n"), q("\x16\x03\x01"), a("\x16\x03\x01")],
];

/// Runs a fixture with its calls cut as `cuts` says: for each call, where, and whether into calls or only parts.
fn run(fixture: Fixture, fresh: bool, separate: bool, cuts: impl Fn(usize) -> Vec<usize>) -> Tap {
    let mut tap = Tap::new(fresh);
    for (index, (side, text)) in fixture.iter().enumerate() {
        let bytes = text.as_bytes();
        let mut ends = cuts(index);
        ends.retain(|&cut| 0 < cut && cut < bytes.len());
        ends.sort_unstable();
        ends.dedup();
        ends.push(bytes.len());
        let mut begin = 0;
        for end in ends {
            if separate || begin == 0 {
                tap.call(*side, &bytes[begin..end]);
            } else {
                tap.part(*side, &bytes[begin..end], false);
            }
            begin = end;
        }
    }
    tap.end(Side::Response, End::Finished).close();
    tap
}

fn same(whole: &Tap, cut: &Tap, context: &str) {
    assert_eq!(whole.told(), cut.told(), "{context}");
    assert_eq!(whole.contexts(), cut.contexts(), "{context}");
}

#[test]
fn every_split_point() {
    for fixture in FIXTURES {
        for fresh in [true, false] {
            let whole = run(fixture, fresh, false, |_| Vec::new());
            assert!(!whole.told().is_empty() && (!fresh || whole.ended().len() == whole.told().len()));
            for (index, (_, text)) in fixture.iter().enumerate() {
                for cut in 1..text.len() {
                    for separate in [true, false] {
                        let cuts = |at| if at == index { vec![cut] } else { Vec::new() };
                        let tap = run(fixture, fresh, separate, cuts);
                        same(&whole, &tap, &format!("{text:?} at {cut}, fresh {fresh}, separate {separate}"));
                    }
                }
            }
        }
    }
}

#[test]
fn times_are_those_of_the_cut_calls() {
    let fixture = FIXTURES[0];
    for (index, (side, text)) in fixture.iter().enumerate() {
        for cut in 1..text.len() {
            let tap = run(fixture, true, true, |at| if at == index { vec![cut] } else { Vec::new() });
            let times = tap.ended()[index / 2].0.times;
            let first = index as u64 + 1;
            match side {
                Side::Request => {
                    assert_eq!((times.request_first.call, times.request_last.call), (first, first + 1));
                }
                Side::Response => {
                    let response_first = times.response_first.map(|mark| mark.call);
                    assert_eq!((response_first, times.end.call), (Some(first), first + 1));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn many_splits(
        which in 0..FIXTURES.len(),
        fresh: bool,
        separate: bool,
        cuts in prop::collection::vec(prop::collection::vec(1_usize..120, 0..12), 8),
    ) {
        let fixture = FIXTURES[which];
        let whole = run(fixture, fresh, separate, |_| Vec::new());
        let tap = run(fixture, fresh, separate, |at| cuts[at].clone());
        same(&whole, &tap, "random cuts");
    }

    #[test]
    fn anything_at_all(inputs in prop::collection::vec(any_input(), 0..40), fresh: bool, client: bool) {
        let mut tap = Tap::with_role(if client { Role::Client } else { Role::Server }, fresh);
        for (kind, side, text) in inputs {
            let side = if side { Side::Request } else { Side::Response };
            match kind {
                0 => drop(tap.gap(side, text.len() as u64)),
                1 => drop(tap.end(side, if text.len() % 2 == 0 { End::Finished } else { End::Failed(104) })),
                2..=4 => drop(tap.late_part(side, &text)),
                _ => drop(tap.call(side, &text)),
            }
        }
        tap.close();
    }
}

/// Pieces of messages and noise, in any order.
fn any_input() -> impl Strategy<Value = (u8, bool, Vec<u8>)> {
    let pieces = prop::sample::select(vec![
        "GET /a HTTP/1.1\r\n",
        "POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        "\r\n",
        "Host: x\r\n",
        "hello",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 101 X\r\n\r\n",
        "HTTP/1.1 100 C\r\n\r\n",
        "Content-Length: 5\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "HTTP/1.1 204 N\r\n\r\n",
        "GET /c HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HEAD /d HTTP/1.1\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ]);
    let text = prop_oneof![
        6 => prop::collection::vec(pieces, 0..4).prop_map(|pieces| pieces.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ];
    (0_u8..16, any::<bool>(), text)
}
