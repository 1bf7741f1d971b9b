//! Calls of which parts, or all, were not captured: an exchange may be lost, but never gets another's answer.

use proptest::prelude::*;

use super::captures::FIXTURES;
use super::golden::after_setup;
use super::*;
use crate::protocol::mysql::packed::tests::smallest;

const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\x03\x81\0\0\0\0";

/// Which commands are sent, and how they are answered.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Update,
    Refused,
    Rows,
}

/// What becomes of a call's bytes on their way to the conversation.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole,
    Dropped,
    /// This part of the call is missing, in percent.
    Without(usize, usize),
}

/// One call and the exchange that it belongs to.
#[derive(Clone, Debug)]
struct Call {
    exchange: usize,
    side: Side,
    bytes: Vec<u8>,
    fate: Fate,
}

/// The request and the answer of an exchange: both carry its number.
fn texts(kind: Kind, number: usize) -> (Vec<u8>, Vec<u8>) {
    let request = |text: String| command(3, text.as_bytes()).1;
    match kind {
        Kind::Update => {
            let [low, high] = (1000 + number as u16).to_le_bytes();
            (request(format!("UPDATE t SET a = {number}")), answer(&[&[0, 0xfc, low, high, 0, 2, 0, 0, 0]]).1)
        }
        Kind::Refused => {
            let [low, high] = (3000 + number as u16).to_le_bytes();
            (
                request(format!("DELETE FROM t{number}")),
                answer(&[&[0xff, low, high, b'#', b'4', b'2', b'0', b'0', b'0', b'x']]).1,
            )
        }
        Kind::Rows => {
            let mut payloads: Vec<&[u8]> = vec![b"\x01", COLUMN, b"\xfe\0\0\x02\0"];
            payloads.extend(std::iter::repeat_n(&b"\x05value"[..], number + 1));
            payloads.push(b"\xfe\0\0\x02\0");
            (request(format!("SELECT a FROM t{number}")), answer(&payloads).1)
        }
    }
}

/// The same bytes in packets of the compressed protocol, as small ones as no server sends them.
fn wrapped((request, response): (Vec<u8>, Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    let wrap = |bytes: &[u8], first: u8| {
        let parts = bytes.chunks(90).enumerate();
        parts.flat_map(|(index, part)| smallest(first.wrapping_add(index as u8), part)).collect::<Vec<_>>()
    };
    (wrap(&request, 0), wrap(&response, 1))
}

/// Cuts bytes into calls at these percentages.
fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| bytes.len() * cut / 100).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.dedup();
    places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Whole),
        2 => Just(Fate::Dropped),
        2 => (0..100_usize, 0..=100_usize).prop_map(|(a, b)| Fate::Without(a.min(b), a.max(b))),
        1 => (1..100_usize).prop_map(|from| Fate::Without(from, 100)),
        1 => (1..100_usize).prop_map(|to| Fate::Without(0, to)),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Update), Just(Kind::Refused), Just(Kind::Rows)]
}

/// An exchange: its kind, where its request and answer are cut into calls, and those calls' fates.
type Plan = (Kind, Vec<usize>, Vec<usize>, Vec<Fate>);

fn plan() -> impl Strategy<Value = Plan> {
    let cuts = || prop_oneof![3 => Just(vec![]), 1 => proptest::collection::vec(0..100_usize, 1..3)];
    (kind(), cuts(), cuts(), proptest::collection::vec(fate(), 8))
}

/// The calls of exchanges, of which `burst` are sent before the first of them is answered.
fn calls(plans: &[Plan], burst: usize, packed: bool) -> Vec<Call> {
    let mut calls = Vec::new();
    for (group, plans) in plans.chunks(burst).enumerate() {
        for side in [Side::Request, Side::Response] {
            for (index, (kind, request_cuts, response_cuts, fates)) in plans.iter().enumerate() {
                let exchange = group * burst + index;
                let texts = texts(*kind, exchange);
                let (request, response) = if packed { wrapped(texts) } else { texts };
                let request_calls = request_cuts.len() + 1;
                let (bytes, cuts, skip) = match side {
                    Side::Request => (request, request_cuts, 0),
                    Side::Response => (response, response_cuts, request_calls),
                };
                let fates = fates.iter().skip(skip);
                let parts = cut(&bytes, cuts).into_iter().zip(fates);
                calls.extend(parts.map(|(bytes, fate)| Call { exchange, side, bytes, fate: *fate }));
            }
        }
    }
    calls
}

/// Plays calls with their losses. A gap is noticed when the next bytes of its side are captured.
fn play_lossy(calls: &[Call], fresh: bool, packed: bool) -> Vec<Progress> {
    let mut player = Player::new(fresh);
    if fresh {
        let setup = FIXTURES.iter().find(|(text, _)| text.contains("ompress") == packed).unwrap();
        for (side, bytes) in fixture(setup.0).iter().take(3) {
            player.call(*side, bytes);
        }
    } else {
        (0..3).for_each(|_| player.call(Side::Response, b""));
    }
    let mut missing = [0_u64; 2];
    for Call { side, bytes, fate, .. } in calls {
        let missing = &mut missing[usize::from(*side == Side::Response)];
        // The next call: its number must count even if nothing of it is seen.
        player.call(*side, b"");
        let (from, to) = match fate {
            Fate::Whole => (bytes.len(), bytes.len()),
            Fate::Dropped => (0, bytes.len()),
            Fate::Without(from, to) => (bytes.len() * from / 100, bytes.len() * to / 100),
        };
        for (part, before, call_start) in [(&bytes[..from], 0, true), (&bytes[to..], to - from, false)] {
            *missing += before as u64;
            if !part.is_empty() {
                if *missing > 0 {
                    player.gap(*side, std::mem::take(missing));
                }
                player.part(*side, part, call_start);
            }
        }
    }
    player.close()
}

/// Every exchange whose answer was understood has its own: by its calls and by what it says.
fn check_pairs(calls: &[Call], plans: &[Plan], out: &[Progress]) {
    // Three calls of set-up; calls count from one.
    let owner = |mark: Moment| calls[mark.call as usize - 4].exchange;
    let told = exchanges(out).filter(|(_, exchange)| exchange.completeness == Completeness::Whole);
    for (times, exchange) in told {
        let number = owner(times.request_first);
        // A gap that ends a message is noticed one call late, at the latest within the next answer.
        if let Some(first) = times.response_first {
            assert_eq!(owner(first), number, "{exchange:?} got the answer of {}", owner(first));
        }
        match plans[number].0 {
            Kind::Update => assert!(exchange.affected_rows.is_none_or(|rows| rows == 1000 + number as u64)),
            Kind::Refused => {
                assert!(exchange.error.is_none_or(|error| [0, 3000 + number as u16].contains(&error.code)))
            }
            Kind::Rows => assert!(exchange.rows.is_none_or(|rows| rows == number as u64 + 1)),
        }
        let kinds = (exchange.affected_rows.is_some(), exchange.error.is_some(), exchange.rows.is_some());
        let fits = match plans[number].0 {
            Kind::Update => !kinds.1 && !kinds.2,
            Kind::Refused => !kinds.0 && !kinds.2,
            Kind::Rows => !kinds.0 && !kinds.1,
        };
        assert!(fits, "{exchange:?} is no {:?}", plans[number].0);
    }
}

proptest! {
    #[test]
    fn gaps_never_pair_wrongly(
        lossy in proptest::collection::vec(plan(), 1..12),
        clean in proptest::collection::vec(kind(), 3),
        burst in prop_oneof![3 => Just(1_usize), 1 => 2..4_usize],
        fresh in any::<bool>(),
        packed in any::<bool>(),
    ) {
        let mut plans = lossy;
        // That a client sends several commands at once must have been seen before it can be reckoned with.
        let fresh = fresh || burst > 1;
        for (_, _, _, fates) in plans.iter_mut().take(if burst > 1 { burst } else { 0 }) {
            fates.fill(Fate::Whole);
        }
        if packed && !fresh {
            // A connection that is joined within a packet cannot be told from a plain one by the content of that one.
            plans.iter_mut().take(1).for_each(|(_, _, _, fates)| fates.fill(Fate::Whole));
        }
        let lossy_calls = calls(&plans, burst, packed);
        let start = plans.len();
        plans.extend(clean.into_iter().map(|kind| (kind, vec![], vec![], vec![Fate::Whole; 8])));
        let mut all = lossy_calls;
        for mut call in calls(&plans[start..], 1, packed) {
            call.exchange += start;
            // The numbers of the clean ones follow.
            let texts = texts(plans[call.exchange].0, call.exchange);
            let (request, response) = if packed { wrapped(texts) } else { texts };
            call.bytes = if call.side == Side::Request { request } else { response };
            all.push(call);
        }
        let out = play_lossy(&all, fresh, packed);
        check_pairs(&all, &plans, &out);
        let last = exchanges(&out).last();
        prop_assert!(
            last.is_some_and(|(_, exchange)| exchange.completeness == Completeness::Whole),
            "the last clean exchange was not understood: {last:?}"
        );
    }

    #[test]
    fn captured_conversations_survive_any_gap(
        index in 0..FIXTURES.len(),
        late in any::<bool>(),
        fates in proptest::collection::vec(fate(), 64),
    ) {
        let steps = fixture(FIXTURES[index].0);
        let steps = if late { after_setup(&steps) } else { &steps };
        let calls: Vec<Call> = steps
            .iter()
            .zip(fates.into_iter().cycle())
            .map(|((side, bytes), fate)| Call { exchange: 0, side: *side, bytes: bytes.clone(), fate })
            .collect();
        // `close` checks the rules.
        play_lossy(&calls, false, false);
    }

    #[test]
    fn any_bytes_are_survived(
        fresh in any::<bool>(),
        pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40), 0..20_u64), 0..40),
    ) {
        let mut player = Player::new(fresh);
        for (request, bytes, lost) in pieces {
            let side = if request { Side::Request } else { Side::Response };
            player.call(side, &bytes);
            if lost > 15 {
                player.gap(side, lost);
            }
        }
        player.close();
    }
}

#[test]
fn the_middle_of_a_long_result_may_be_missing() {
    let rows: Vec<&[u8]> = std::iter::repeat_n(&b"\x05value"[..], 500).collect();
    let mut payloads = vec![&b"\x01"[..], COLUMN, b"\xfe\0\0\x02\0"];
    payloads.extend(rows);
    payloads.push(b"\xfe\x01\0\x02\0");
    let response = answer(&payloads).1;
    let mut player = Player::new(false);
    player.call(Side::Request, &command(3, b"SELECT a FROM t").1);
    player.call(Side::Response, &response[..100]);
    player.gap(Side::Response, response.len() as u64 - 200);
    player.part(Side::Response, &response[response.len() - 100..], false);
    player.call(Side::Request, &command(3, b"COMMIT").1);
    player.call(Side::Response, &answer(&[b"\0\0\0\x02\0\0\0"]).1);
    let out = player.close();
    // The end was found, the rows were not all seen.
    assert_eq!(lines(&out), ["QUERY [SELECT a FROM t] warnings=1", "QUERY [COMMIT]"]);
    let (times, _) = exchanges(&out).next().unwrap();
    assert_eq!(times.end.call, 2);
}

#[test]
fn an_answer_whose_end_is_missing_ends_before_the_next_request() {
    let mut player = Player::new(false);
    let response = texts(Kind::Rows, 20).1;
    player.call(Side::Request, &command(3, b"SELECT a FROM t").1);
    player.call(Side::Response, &response[..60]);
    player.call(Side::Response, b"");
    player.call(Side::Request, &command(3, b"COMMIT").1);
    player.gap(Side::Response, response.len() as u64 - 60);
    player.call(Side::Response, &answer(&[b"\0\0\0\x02\0\0\0"]).1);
    player.call(Side::Request, &command(3, b"ROLLBACK").1);
    player.call(Side::Response, &answer(&[b"\0\0\0\x02\0\0\0"]).1);
    let out = player.close();
    let expected = ["QUERY [SELECT a FROM t] Unknown", "QUERY [COMMIT] Unknown", "QUERY [ROLLBACK]"];
    assert_eq!(lines(&out), expected);
    let (times, _) = exchanges(&out).next().unwrap();
    assert_eq!(times.end.call, 2);
}

#[test]
fn the_end_of_a_result_of_many_calls_without_their_middles_is_found() {
    let response = texts(Kind::Rows, 300).1;
    let mut player = Player::new(false);
    player.call(Side::Request, &command(3, b"SELECT a FROM t").1);
    for call in response.chunks(1000) {
        let (head, rest) = call.split_at(300.min(call.len()));
        let (hole, tail) = rest.split_at(rest.len().saturating_sub(600));
        player.call(Side::Response, head);
        player.gap(Side::Response, hole.len() as u64);
        player.part(Side::Response, tail, false);
    }
    player.call(Side::Request, &command(3, b"COMMIT").1);
    player.call(Side::Response, &answer(&[b"\0\0\0\x02\0\0\0"]).1);
    let out = player.close();
    assert_eq!(lines(&out), ["QUERY [SELECT a FROM t]", "QUERY [COMMIT]"]);
    let (times, exchange) = exchanges(&out).next().unwrap();
    assert!(exchange.rows_missed);
    assert_eq!(times.end.call as usize, 1 + response.chunks(1000).count());
}

proptest! {
    #[test]
    fn any_cuts_into_calls_tell_the_same(
        index in 0..FIXTURES.len(),
        lengths in proptest::collection::vec(1..200_usize, 1..40),
        whole_calls in any::<bool>(),
    ) {
        let (text, expected) = FIXTURES[index];
        let mut player = Player::new(true);
        let mut lengths = lengths.into_iter().cycle();
        for (side, bytes) in &fixture(text) {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(lengths.next().unwrap().min(rest.len()));
                if whole_calls || head.as_ptr() == bytes.as_ptr() {
                    player.call(*side, head);
                } else {
                    player.part(*side, head, false);
                }
                rest = tail;
            }
        }
        prop_assert_eq!(lines(&player.close()), expected);
    }
}
