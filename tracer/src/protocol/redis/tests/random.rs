//! Random dialogues, segmentations and gaps: never a wrong pair, never a panic.

use proptest::prelude::*;

use super::*;

/// How a client uses its connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    /// One thread writes, reads, writes; bound to what it works for.
    Bound,
    /// The same without a binding.
    Unbound,
    /// Several requests' commands on their way at once.
    Multiplexed,
}

/// What happens to a call's bytes.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Seen,
    Lost,
    /// A part from here is lost, of so many bytes.
    Holed(usize, usize),
    /// Comes in two events.
    Split(usize),
}

pub(super) fn command(id: usize) -> Vec<u8> {
    let key = format!("k{id}");
    match id % 4 {
        0 => format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).into_bytes(),
        1 => format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$90\r\n{}\r\n", key.len(), "+OK\r\n".repeat(18))
            .into_bytes(),
        2 => format!("*3\r\n$3\r\nDEL\r\n${}\r\n{key}\r\n$1\r\nx\r\n", key.len()).into_bytes(),
        _ => format!("*2\r\n$4\r\nLLEN\r\n${}\r\n{key}\r\n", key.len()).into_bytes(),
    }
}

/// Every reply names its command.
pub(super) fn reply(id: usize) -> Vec<u8> {
    match id % 3 {
        0 => format!("-E{id} x\r\n").into_bytes(),
        1 => {
            format!("!60\r\nE{id:<10} {}\r\n", "+OK\r\n-E1 x\r\n$".repeat(4).get(..48).unwrap()).into_bytes()
        }
        _ => format!("|1\r\n+a\r\n*1\r\n:1\r\n-E{id} y\r\n").into_bytes(),
    }
}

pub(super) fn assert_paired(run: &Run) {
    for (_, exchange) in run.exchanges() {
        for command in &exchange.commands {
            // A gap can take a command's arguments and leave its reply certain.
            let Some(Argument::Shown(key)) = command.args.first() else { continue };
            if command.reply == Outcome::Error("_OTHER".into()) {
                continue;
            }
            let expected = format!("E{}", std::str::from_utf8(&key[1..]).unwrap());
            assert_eq!(command.reply, Outcome::Error(expected.into()), "{}", line(exchange));
        }
    }
}

/// The calls of a dialogue: batches of commands and their replies.
fn dialogue(style: Style, sizes: &[usize], order: &[bool]) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut due = std::collections::VecDeque::new();
    let mut order = order.iter().cycle();
    let mut id = 0;
    let answer = |due: &mut std::collections::VecDeque<Vec<usize>>, calls: &mut Vec<Call>| {
        if let Some(ids) = due.pop_front() {
            calls.push((Side::Response, ids.into_iter().flat_map(reply).collect()));
        }
    };
    for &size in sizes {
        let ids: Vec<usize> = (id..id + size).collect();
        id += size;
        calls.push((Side::Request, ids.iter().copied().flat_map(command).collect()));
        due.push_back(ids);
        let wait = style == Style::Multiplexed;
        while !(due.is_empty() || wait && *order.next().unwrap()) {
            answer(&mut due, &mut calls);
        }
    }
    while !due.is_empty() {
        answer(&mut due, &mut calls);
    }
    calls
}

/// Plays the calls; a loss is told with the next event of its side, as the stream positions tell it.
fn play(run: &mut Run, calls: &[Call], fates: &[Fate]) {
    for (call, fate) in calls.iter().zip(fates.iter().chain(std::iter::repeat(&Fate::Seen))) {
        let (side, bytes) = call;
        let index = usize::from(*side == Side::Response);
        run.next_call();
        if matches!(fate, Fate::Lost) {
            run.owed[index] += bytes.len();
            continue;
        }
        if run.owed[index] > 0 {
            run.gap(*side, run.owed[index]);
            run.owed[index] = 0;
        }
        match *fate {
            Fate::Holed(from, length) => {
                let from = from % bytes.len();
                let end = (from + 1 + length).min(bytes.len());
                if from > 0 {
                    run.part(*side, &bytes[..from], true);
                }
                run.gap(*side, end - from);
                if end < bytes.len() {
                    run.part(*side, &bytes[end..], false);
                }
            }
            Fate::Split(at) => {
                let at = at % bytes.len();
                run.part(*side, &bytes[..at], true);
                run.part(*side, &bytes[at..], at == 0);
            }
            Fate::Seen | Fate::Lost => run.part(*side, bytes, true),
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Seen),
        2 => any::<usize>().prop_map(Fate::Split),
        1 => Just(Fate::Lost),
        2 => (any::<usize>(), 0..120_usize).prop_map(|(from, length)| Fate::Holed(from, length)),
    ]
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![Just(Style::Bound), Just(Style::Unbound), Just(Style::Multiplexed)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gaps_never_pair_wrongly(
        style in style(),
        fresh: bool,
        skip in 0..4_usize,
        sizes in prop::collection::vec(1..5_usize, 1..60),
        order in prop::collection::vec(any::<bool>(), 8..40),
        fates in prop::collection::vec(fate(), 0..60),
    ) {
        let mut run = Run::new(fresh);
        run.active = (style == Style::Bound).then_some(ActiveId(1));
        let calls = dialogue(style, &sizes, &order);
        let skip = if fresh { 0 } else { skip.min(calls.len()) };
        play(&mut run, &calls[skip..], &fates);
        assert_paired(&run);
        run.check();
    }

    #[test]
    fn a_clean_dialogue_is_found_again_after_gaps(
        sizes in prop::collection::vec(1..5_usize, 1..30),
        fates in prop::collection::vec(fate(), 0..40),
    ) {
        let mut run = Run::new(true);
        run.active = Some(ActiveId(1));
        play(&mut run, &dialogue(Style::Bound, &sizes, &[false]), &fates);
        let before = run.lines().len();
        // A loss at the end is told by the first call after it; then one exchange shows that it is over.
        let clean = dialogue(Style::Bound, &[1; 6], &[false]);
        play(&mut run, &clean, &[]);
        prop_assert!(run.lines().len() >= before + 3, "{:?}", run.lines());
        assert_paired(&run);
        run.check();
    }

    #[test]
    fn random_bytes_never_panic(
        fresh: bool,
        parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40), 0..9_usize), 0..40),
    ) {
        let mut run = Run::new(fresh);
        for (request, bytes, lost) in parts {
            let side = if request { Side::Request } else { Side::Response };
            run.gap(side, lost);
            run.call(&(side, bytes));
        }
        run.check();
    }

    #[test]
    fn broken_recordings_never_panic(
        which in 0..FIXTURES.len(),
        fresh: bool,
        changes in prop::collection::vec((any::<usize>(), any::<usize>(), any::<u8>()), 0..6),
        fates in prop::collection::vec(fate(), 0..60),
    ) {
        let mut calls = fixture(FIXTURES[which].0);
        for (call, at, byte) in changes {
            let count = calls.len();
            let bytes = &mut calls[call % count].1;
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let mut run = Run::new(fresh);
        play(&mut run, &calls, &fates);
        run.check();
    }
}
