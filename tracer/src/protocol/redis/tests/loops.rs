//! Clients that send the next command when a reply has come, on one connection: simulated, with losses, and seen from
//! either end. Never a wrong pair; and one that waits for each reply is followed again.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::random::{assert_paired, command, reply};
use super::*;

/// Numbers that look random.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        // Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014), the generator SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

/// A time that scatters: at least `least`, up to `spread` more, and once in `rare` times as much as `pause` more.
#[derive(Debug, Clone, Copy)]
struct Span {
    least: u64,
    spread: u64,
    rare: u64,
    pause: u64,
}

impl Span {
    fn roll(self, dice: &mut Dice) -> u64 {
        let pause = if dice.below(self.rare) == 0 { self.pause } else { 0 };
        self.least + dice.below(self.spread + 1) + pause
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answers {
    /// One command after the other, as Redis does.
    Serial,
    /// Several at a time, in order: a proxy, or a server with threads.
    Parallel,
    /// The same by one thread that is always busy, and looks at the connection once in so many nanoseconds.
    Rounds(u64),
}

/// Where the connection is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
enum View {
    Server,
    /// Packets at the client's end of the wire.
    Wire,
    /// Packets at the server's end.
    FarWire,
    /// A client of one thread, which reads a reply when it is done with the one before.
    Client,
}

#[derive(Debug, Clone)]
struct World {
    /// Commands on their way at once.
    slots: usize,
    network: Span,
    work: Span,
    think: Span,
    answers: Answers,
    /// The client's one thread does all its thinking.
    one_thread: bool,
    view: View,
    /// It is seen from its beginning.
    fresh: bool,
}

/// What is seen, in order: when, which side, and whose.
fn watch(world: &World, exchanges: usize, dice: &mut Dice) -> Vec<(u64, Side, usize)> {
    let mut seen = Vec::new();
    let mut due: VecDeque<u64> = (0..world.slots).map(|_| 1_000_000 + dice.below(200_000)).collect();
    let (mut sent, mut arrived, mut done, mut came, mut free) = (0, 0, 0, 0, 0);
    for id in 0..exchanges {
        due.make_contiguous().sort_unstable();
        let Some(time) = due.pop_front() else { break };
        sent = time.max(sent + 1);
        let reached = (sent + world.network.roll(dice)).max(arrived + 1);
        arrived = reached;
        let work = world.work.roll(dice);
        done = match world.answers {
            Answers::Serial => {
                if world.view == View::Server {
                    // It reads when it is done with what it read before.
                    arrived = arrived.max(done + 1);
                }
                arrived.max(done) + work
            }
            Answers::Parallel => (arrived + work).max(done + 1),
            Answers::Rounds(round) => {
                arrived = arrived.next_multiple_of(round).max(arrived);
                ((arrived + work).next_multiple_of(round) + round / 20).max(done + 1)
            }
        };
        came = (done + world.network.roll(dice)).max(came + 1);
        let read = if world.one_thread { came.max(free) } else { came };
        // What a reply causes comes after it.
        free = read + 1 + world.think.roll(dice);
        due.push_back(free);
        let (request, response) = match world.view {
            View::Server => (arrived, done),
            View::FarWire => (reached, done),
            View::Wire => (sent, came),
            View::Client => (sent, read),
        };
        seen.push((request, Side::Request, id));
        seen.push((response, Side::Response, id));
    }
    seen.sort_by_key(|&(time, side, id)| (time, side == Side::Response, id));
    seen
}

/// Plays what was seen. Each call is lost with a chance of one in `rarity`; a loss is told with the next call of its
/// side.
fn play(world: &World, seen: &[(u64, Side, usize)], last_loss: usize, rarity: u64, dice: &mut Dice) -> Run {
    let role = if world.view == View::Server { Role::Server } else { Role::Client };
    let mut run = Run::with_role(role, world.fresh);
    run.multiplexed = !matches!(world.view, View::Wire | View::FarWire);
    for (at, &(time, side, id)) in seen.iter().enumerate() {
        let bytes = if side == Side::Request { command(id) } else { reply(id) };
        let owed = &mut run.owed[usize::from(side == Side::Response)];
        if at < last_loss && dice.below(rarity) == 0 {
            *owed += bytes.len();
            continue;
        }
        let lost = std::mem::take(owed);
        run.call += 1;
        run.time = time;
        run.gap(side, lost);
        run.part(side, &bytes, true);
    }
    run.end(Side::Request, End::Finished);
    run.end(Side::Response, End::Finished);
    run
}

fn span() -> impl Strategy<Value = Span> {
    let least = prop_oneof![0..5_000_u64, 20_000..80_000_u64, 100_000..1_000_000_u64];
    let spread = prop_oneof![Just(0_u64), 0..3_000_u64, 0..100_000_u64, 0..2_000_000_u64];
    let pause = prop_oneof![2 => Just(0_u64), 1 => 100_000..8_000_000_u64];
    (least, spread, 4..100_u64, pause).prop_map(|(least, spread, rare, pause)| Span {
        least,
        spread,
        rare,
        pause,
    })
}

fn world(slots: std::ops::Range<usize>) -> impl Strategy<Value = World> {
    let answers = prop_oneof![
        Just(Answers::Serial),
        Just(Answers::Parallel),
        (10_000..500_000_u64).prop_map(Answers::Rounds),
    ];
    let view = prop_oneof![Just(View::Server), Just(View::Wire), Just(View::FarWire), Just(View::Client)];
    (slots, span(), span(), span(), answers, any::<bool>(), view, any::<bool>()).prop_map(
        |(slots, network, work, think, answers, one_thread, view, fresh)| {
            let one_thread = one_thread || view == View::Client;
            World { slots, network, work, think, answers, one_thread, view, fresh }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_many_are_on_their_way_none_is_paired_wrongly(
        world in world(1..6),
        seed: u64,
        rarity in 3..60_u64,
    ) {
        let mut dice = Dice(seed);
        let seen = watch(&world, 300, &mut dice);
        let run = play(&world, &seen, 200, rarity, &mut dice);
        assert_paired(&run);
    }

    #[test]
    fn one_that_waits_for_each_reply_is_followed_again(
        world in world(1..2),
        seed: u64,
        rarity in 3..60_u64,
    ) {
        let mut dice = Dice(seed);
        let seen = watch(&world, 200, &mut dice);
        let run = play(&world, &seen, 100, rarity, &mut dice);
        assert_paired(&run);
        let told = run.exchanges().filter(|(exchange, _)| exchange.times.end.call > run.call - 190).count();
        prop_assert!(told >= 94, "{told} told");
    }
}
