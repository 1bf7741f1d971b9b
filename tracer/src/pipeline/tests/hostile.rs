//! The real protocols under random interleaving, loss and damage: whatever a peer sends or a kernel loses, every
//! exchange that begins also ends, no span ends before it starts, and nothing is left.

use proptest::prelude::*;
use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionNote, Direction, ProcessNote};

use super::recordings::ALL;
use super::script::{Conn, Script};
use crate::event::{Role, Side};
use crate::pipeline::{Limits, PipelineConfig};
use crate::protocol::PROTOCOLS;

const CONNECTIONS: usize = 4;
const THREADS: u32 = 3;

/// What happens to the next call of a conversation.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    /// Two calls move the bytes.
    Split,
    /// No event tells of it.
    Lost,
    /// It is told twice.
    Twice,
    /// Only its start is captured; with as many bytes more as given.
    Cut(u32),
    /// It went past user memory.
    Uncapturable,
    /// One byte is another one.
    Flipped(u8),
    /// It comes after the call behind it.
    Late,
    /// Its stamp is older than that of the event before.
    Earlier,
    /// Its position is this far from where it should be.
    Moved(i32),
}

#[derive(Clone, Copy, Debug)]
enum Action {
    /// The next call of a connection; `at` says where in its bytes the damage is.
    Call {
        at: usize,
        damage: Damage,
    },
    /// The connection goes on with another conversation from this call on.
    Become {
        conversation: usize,
        call: usize,
    },
    Note(ConnectionNote),
    /// A new socket at the same address.
    Anew {
        role: Role,
    },
    /// A read of 0, or an error.
    End {
        egress: bool,
        errno: u16,
    },
    Epoll,
    Exit,
    Tick(u64),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        8 => Just(Damage::None),
        3 => Just(Damage::Split),
        1 => Just(Damage::Lost),
        1 => Just(Damage::Twice),
        1 => (0..70_000_u32).prop_map(Damage::Cut),
        1 => Just(Damage::Uncapturable),
        2 => any::<u8>().prop_map(Damage::Flipped),
        1 => Just(Damage::Late),
        1 => Just(Damage::Earlier),
        1 => prop_oneof![-40..40, any::<i32>()].prop_map(Damage::Moved),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        30 => (any::<usize>(), damage()).prop_map(|(at, damage)| Action::Call { at, damage }),
        1 => (any::<usize>(), any::<usize>())
            .prop_map(|(conversation, call)| Action::Become { conversation, call }),
        1 => prop_oneof![
            Just(ConnectionNote::Closed),
            Just(ConnectionNote::Seen),
            Just(ConnectionNote::Accept),
            Just(ConnectionNote::Connect),
            Just(ConnectionNote::Shutdown),
            Just(ConnectionNote::Established),
        ].prop_map(Action::Note),
        1 => prop_oneof![Just(Role::Client), Just(Role::Server)].prop_map(|role| Action::Anew { role }),
        1 => (any::<bool>(), prop_oneof![Just(0), Just(104)])
            .prop_map(|(egress, errno)| Action::End { egress, errno }),
        1 => Just(Action::Epoll),
        1 => Just(Action::Exit),
        1 => (1..5_000_000_000_u64).prop_map(Action::Tick),
    ]
}

/// A connection that speaks one of the conversations.
struct Talk {
    conn: Conn,
    role: Role,
    conversation: usize,
    next: usize,
}

struct Stage {
    s: Script,
    talks: Vec<Talk>,
}

impl Stage {
    fn new(starts: &[(usize, Role)]) -> Self {
        let limits = Limits { connections: 3, threads: 2 };
        let s = Script::speaking(PROTOCOLS, PipelineConfig { limits, ..PipelineConfig::default() });
        let mut stage = Self { s, talks: Vec::new() };
        for (index, (conversation, role)) in starts.iter().enumerate() {
            let conn = (1 + index as u64, 1);
            let conversation = conversation % ALL.len();
            stage.talks.push(Talk { conn, role: *role, conversation, next: 0 });
        }
        stage
    }

    fn open(&mut self, index: usize) {
        let Talk { conn, role, .. } = self.talks[index];
        match role {
            Role::Server => self.s.accept(1, conn),
            Role::Client => self.s.connect(1, conn),
        }
    }

    /// The next call: which way it goes, and what it moves. A conversation that is over begins again.
    fn next(&mut self, index: usize) -> (Direction, Vec<u8>) {
        let talk = &mut self.talks[index];
        let calls = &ALL[talk.conversation];
        let (side, bytes) = &calls[talk.next % calls.len()];
        talk.next += 1;
        let direction = match (talk.role, side) {
            (Role::Server, Side::Request) | (Role::Client, Side::Response) => Direction::Ingress,
            (Role::Server, Side::Response) | (Role::Client, Side::Request) => Direction::Egress,
        };
        (direction, bytes.clone())
    }

    fn call(&mut self, tid: u32, index: usize, at: usize, damage: Damage) {
        let conn = self.talks[index].conn;
        let (direction, mut bytes) = self.next(index);
        let at = at % bytes.len().max(1);
        let s = &mut self.s;
        match damage {
            Damage::None => s.moved(tid, conn, direction, &bytes, |_| {}),
            Damage::Split => {
                s.moved(tid, conn, direction, &bytes[..at], |_| {});
                s.moved(tid, conn, direction, &bytes[at..], |_| {});
            }
            Damage::Lost => s.lose(conn, direction, bytes.len() as u32),
            Damage::Twice => {
                let again = bytes.len() as u64;
                s.moved(tid, conn, direction, &bytes, |_| {});
                s.moved(tid, conn, direction, &bytes, |data| {
                    data.position = data.position.wrapping_sub(again);
                });
            }
            Damage::Cut(more) => s.moved(tid, conn, direction, &bytes, |data| {
                data.length += more;
                (data.head, data.tail) = (&data.head[..at], &data.head[at..]);
            }),
            Damage::Uncapturable => s.moved(tid, conn, direction, &bytes, |data| {
                data.head = &[];
                data.header.flags |= flag::UNCAPTURABLE;
            }),
            Damage::Flipped(byte) => {
                if let Some(place) = bytes.get_mut(at) {
                    *place ^= byte;
                }
                s.moved(tid, conn, direction, &bytes, |_| {});
            }
            Damage::Late => {
                let from = s.position(conn, direction);
                s.lose(conn, direction, bytes.len() as u32);
                let (other, behind) = self.next(index);
                let s = &mut self.s;
                s.moved(tid, conn, other, &behind, |_| {});
                s.late(tid, conn, direction, from, &bytes);
            }
            Damage::Earlier => s.moved(tid, conn, direction, &bytes, |data| data.header.time_ns -= 500),
            Damage::Moved(by) => s.moved(tid, conn, direction, &bytes, |data| {
                data.position = data.position.wrapping_add_signed(by.into());
            }),
        }
    }

    fn act(&mut self, tid: u32, index: usize, action: Action) {
        let conn = self.talks[index].conn;
        match action {
            Action::Call { at, damage } => self.call(tid, index, at, damage),
            Action::Become { conversation, call } => {
                let talk = &mut self.talks[index];
                talk.conversation = conversation % ALL.len();
                talk.next = call % 64;
            }
            Action::Note(note) => self.s.note(tid, conn, note),
            Action::Anew { role } => {
                let talk = &mut self.talks[index];
                *talk = Talk { conn: (conn.0, conn.1 + 1), role, next: 0, ..*talk };
                self.open(index);
            }
            Action::End { egress, errno } => {
                let direction = if egress { Direction::Egress } else { Direction::Ingress };
                self.s.moved(tid, conn, direction, "", |data| {
                    data.header.flags |= flag::END;
                    data.errno = errno;
                });
            }
            Action::Epoll => self.s.epoll(tid),
            Action::Exit => self.s.process(tid, ProcessNote::ThreadExit),
            Action::Tick(later) => {
                self.s.time += later;
                self.s.tick(self.s.time);
            }
        }
    }

    fn finish(&mut self) {
        self.s.pipeline.finish(self.s.time);
        self.s.telemetry.extend(self.s.pipeline.drain());
    }
}

fn starts() -> impl Strategy<Value = Vec<(usize, Role)>> {
    let role = prop_oneof![Just(Role::Client), Just(Role::Server)];
    proptest::collection::vec((any::<usize>(), role), CONNECTIONS)
}

proptest! {
    #[test]
    fn everything_that_begins_ends_in_order(
        starts in starts(),
        fresh in any::<bool>(),
        actions in proptest::collection::vec((1..=THREADS, 0..CONNECTIONS, action()), 1..200),
    ) {
        let mut stage = Stage::new(&starts);
        if fresh {
            (0..CONNECTIONS).for_each(|index| stage.open(index));
        }
        for (tid, index, action) in &actions {
            stage.act(*tid, *index, *action);
        }
        stage.finish();
        let stats = stage.s.pipeline.stats();
        let spans = &stats.spans;
        prop_assert_eq!(spans.unknown_exchange, 0);
        prop_assert_eq!(spans.abandoned_unfinished, 0);
        let abandoned = spans.abandoned_gap
            + spans.abandoned_malformed
            + spans.abandoned_no_span
            + spans.abandoned_encrypted
            + spans.abandoned_limit
            + spans.abandoned_forgotten;
        prop_assert_eq!(
            spans.server_begun + spans.client_begun,
            spans.server_ended + spans.client_ended + abandoned
        );
        let tables = &stats.tables;
        prop_assert_eq!((tables.connections, tables.bindings, tables.contexts), (0, 0, 0));
        prop_assert!(tables.threads <= 2, "{} threads", tables.threads);
        for span in stage.s.spans() {
            prop_assert!(span.start_unix_ns <= span.end_unix_ns, "{:?}", span);
            let first = span.first_byte_unix_ns.unwrap_or(span.end_unix_ns);
            prop_assert!((span.start_unix_ns..=span.end_unix_ns).contains(&first), "{:?}", span);
        }
    }
}

/// The actions above would prove nothing if the conversations were not understood.
#[test]
fn undamaged_conversations_are_understood_whole() {
    let mut names = Vec::new();
    for (index, calls) in ALL.iter().enumerate() {
        for role in [Role::Server, Role::Client] {
            let mut stage = Stage::new(&[(index, role)]);
            stage.open(0);
            (0..calls.len()).for_each(|_| stage.call(1, 0, 0, Damage::None));
            stage.finish();
            let stats = stage.s.pipeline.stats();
            let spans = &stats.spans;
            assert_eq!((spans.abandoned_gap, spans.abandoned_malformed), (0, 0), "{index} {role:?}");
            assert_eq!((stats.connections.unknown, stats.connections.undecided), (0, 0), "{index} {role:?}");
            assert_ne!(spans.exported, 0, "{index} {role:?}");
            names.extend(stage.s.names().into_iter().map(str::to_owned));
        }
    }
    for name in ["POST /users/{id}", "PUT /big", "GET /{id}", "SET", "LPUSH", "COMMIT"] {
        assert!(names.iter().any(|known| known == name), "{name} among {names:?}");
    }
}
