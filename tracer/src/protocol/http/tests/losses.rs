//! Random losses: a wrong pair is never told, and clean exchanges are found again.

use proptest::prelude::*;

use super::*;

/// One exchange of a generated conversation. Its number is in the target and in the status.
#[derive(Clone, Debug)]
struct Plan {
    request: Kind,
    response: Kind,
    /// Where its calls are cut, request then response.
    cuts: (Vec<usize>, Vec<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// No body; as a response: to HEAD, with a length that does not count.
    Bare,
    Length(usize),
    Chunked(usize),
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Seen,
    Lost,
    /// So many bytes are kept at both ends.
    Middle(usize, usize),
}

fn body(kind: Kind) -> String {
    match kind {
        Kind::Bare => "\r\n".to_owned(),
        Kind::Length(size) => format!("Content-Length: {size}\r\n\r\n{}", "b".repeat(size)),
        Kind::Chunked(size) if size > 0 => {
            format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n", "c".repeat(size))
        }
        Kind::Chunked(_) => "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    }
}

impl Plan {
    fn request(&self, number: usize) -> String {
        let method = match (self.response, self.request) {
            (Kind::Bare, _) => "HEAD",
            (_, Kind::Bare) => "GET",
            _ => "POST",
        };
        format!("{method} /r{number} HTTP/1.1\r\nHost: example\r\n{}", body(self.request))
    }

    fn response(&self, number: usize) -> String {
        let head = format!("HTTP/1.1 {} X\r\nServer: y\r\n", 400 + number);
        match self.response {
            Kind::Bare => format!("{head}Content-Length: 333\r\n\r\n"),
            kind => head + &body(kind),
        }
    }
}

fn size(kind: Kind) -> u64 {
    match kind {
        Kind::Bare => 0,
        Kind::Length(size) | Kind::Chunked(size) => size as u64,
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Bare),
        (0..300_usize).prop_map(Kind::Length),
        (0..300_usize).prop_map(Kind::Chunked)
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let cuts = || prop::collection::vec(1..400_usize, 0..3);
    (kind(), kind(), (cuts(), cuts())).prop_map(|(request, response, cuts)| Plan { request, response, cuts })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Seen),
        1 => Just(Fate::Lost),
        1 => (0..200_usize, 0..100_usize).prop_map(|(head, tail)| Fate::Middle(head, tail)),
    ]
}

/// The calls in which a text moves.
fn calls(text: &str, cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut ends: Vec<_> = cuts.iter().copied().filter(|&cut| cut < text.len()).collect();
    ends.sort_unstable();
    ends.dedup();
    ends.push(text.len());
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins.zip(&ends).map(|(begin, &end)| text.as_bytes()[begin..end].to_vec()).collect()
}

/// Feeds calls as the connection stage does: a lost call shows as a gap before the side's next bytes.
fn feed(tap: &mut Tap, calls: &[(Side, Vec<u8>)], fates: &[Fate]) {
    let mut pending = HashMap::from([(Side::Request, 0_u64), (Side::Response, 0)]);
    for (index, (side, bytes)) in calls.iter().enumerate() {
        let fate = fates.get(index).copied().unwrap_or(Fate::Seen);
        if let Fate::Lost = fate {
            *pending.get_mut(side).unwrap() += bytes.len() as u64;
            continue;
        }
        tap.call += 1;
        tap.gap(*side, pending.insert(*side, 0).unwrap());
        match fate {
            Fate::Middle(head, tail) if head + tail < bytes.len() => {
                if head > 0 {
                    tap.part(*side, &bytes[..head], true);
                }
                tap.gap(*side, (bytes.len() - head - tail) as u64);
                if tail > 0 {
                    tap.part(*side, &bytes[bytes.len() - tail..], false);
                }
            }
            _ => drop(tap.part(*side, bytes, true)),
        }
    }
    tap.close();
}

/// The exchanges that ended with a status; each must be its own.
fn paired(tap: &Tap, plans: &[Plan]) -> Vec<usize> {
    let mut numbers = Vec::new();
    for (_, detail) in tap.ended() {
        let Some(status) = detail.status else { continue };
        let number = usize::from(status - 400);
        assert_eq!(detail.target, format!("/r{number}"), "wrong pair: {:?}", tap.told());
        let plan = &plans[number];
        if let Some(told) = detail.request_body {
            assert_eq!(told, size(plan.request), "{:?}", tap.told());
        }
        if let Some(told) = detail.response_body {
            assert_eq!(told, size(plan.response), "{:?}", tap.told());
        }
        numbers.push(number);
    }
    numbers
}

/// Clean exchanges at the end, and how many of them may be missed.
const CLEAN: usize = 8;
const MISSED: usize = 5;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn one_request_at_a_time(
        plans in prop::collection::vec(plan(), CLEAN + 1..CLEAN + 8),
        fates in prop::collection::vec(fate(), 0..40),
        fresh: bool,
    ) {
        let mut all = Vec::new();
        let mut clean_from = 0;
        for (number, plan) in plans.iter().enumerate() {
            if number == plans.len() - CLEAN {
                clean_from = all.len();
            }
            all.extend(calls(&plan.request(number), &plan.cuts.0).into_iter().map(|call| (Side::Request, call)));
            all.extend(calls(&plan.response(number), &plan.cuts.1).into_iter().map(|call| (Side::Response, call)));
        }
        let mut tap = Tap::new(fresh);
        feed(&mut tap, &all, &fates[..fates.len().min(clean_from)]);
        let numbers = paired(&tap, &plans);
        for number in plans.len() - CLEAN + MISSED..plans.len() {
            prop_assert!(numbers.contains(&number), "{number} missed: {:?}", tap.told());
        }
        prop_assert!(tap.ended().iter().all(|(_, detail)| detail.failure.is_none()));
    }

    #[test]
    fn pipelined_batches(
        batches in prop::collection::vec((prop::collection::vec(plan(), 1..5), any::<bool>(), any::<bool>()), 1..8),
        fates in prop::collection::vec(fate(), 0..40),
    ) {
        let (mut all, mut plans) = (Vec::new(), Vec::new());
        for (batch, one_request_call, one_response_call) in &batches {
            let first = plans.len();
            for (side, joined) in [(Side::Request, one_request_call), (Side::Response, one_response_call)] {
                let texts = batch.iter().enumerate().map(|(index, plan)| match side {
                    Side::Request => plan.request(first + index),
                    Side::Response => plan.response(first + index),
                });
                if *joined {
                    all.push((side, texts.collect::<String>().into_bytes()));
                } else {
                    all.extend(texts.map(|text| (side, text.into_bytes())));
                }
            }
            plans.extend(batch.iter().cloned());
        }
        let mut tap = Tap::new(true);
        feed(&mut tap, &all, &fates);
        paired(&tap, &plans);
    }
}
