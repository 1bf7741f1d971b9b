//! Real exchanges, recorded by `fixtures/capture.py`, in every segmentation.

use super::*;
use crate::event::{ActiveId, Mark, Side, ThreadId};
use crate::protocol::{AbandonReason, Conversation, End, Exchange, Input, Progress, Start};

mod detection;
mod loops;
mod losses;
mod oracle;
mod pairing;
mod random;
mod recorded;

/// One call's bytes.
pub(crate) type Call = (Side, Vec<u8>);

pub(crate) const FIXTURES: &[(&str, &str)] = &[
    ("auth", include_str!("fixtures/auth.txt")),
    ("blocking", include_str!("fixtures/blocking.txt")),
    ("errors", include_str!("fixtures/errors.txt")),
    ("modes", include_str!("fixtures/modes.txt")),
    ("monitor", include_str!("fixtures/monitor.txt")),
    ("ordinary", include_str!("fixtures/ordinary.txt")),
    ("pipelines", include_str!("fixtures/pipelines.txt")),
    ("pubsub2", include_str!("fixtures/pubsub2.txt")),
    ("pubsub3", include_str!("fixtures/pubsub3.txt")),
    ("resp3", include_str!("fixtures/resp3.txt")),
    ("sharded", include_str!("fixtures/sharded.txt")),
    ("tracking", include_str!("fixtures/tracking.txt")),
];

/// The calls of a recording.
pub(crate) fn fixture(name: &str) -> Vec<Call> {
    let (_, text) = FIXTURES.iter().find(|(known, _)| *known == name).unwrap();
    text.lines()
        .map(|line| {
            let side = if line.starts_with('>') { Side::Request } else { Side::Response };
            (side, unescape(&line[2..]))
        })
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (kind, after) = rest.split_first().unwrap();
        rest = after;
        match kind {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b'x' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
            }
            other => bytes.push(*other),
        }
    }
    bytes
}

pub(crate) fn request(text: &str) -> Call {
    (Side::Request, text.as_bytes().to_vec())
}

pub(crate) fn response(text: &str) -> Call {
    (Side::Response, text.as_bytes().to_vec())
}

/// Runs a conversation and keeps what it tells.
pub(crate) struct Run {
    conversation: Box<dyn Conversation>,
    pub(crate) out: Vec<Progress>,
    pub(crate) call: u64,
    pub(crate) time: u64,
    pub(crate) thread: ThreadId,
    pub(crate) active: Option<ActiveId>,
    pub(crate) multiplexed: bool,
    /// Bytes of each side that were lost and not told yet.
    pub(crate) owed: [usize; 2],
}

impl Run {
    pub(crate) fn new(fresh: bool) -> Self {
        Self::with_role(Role::Client, fresh)
    }

    pub(crate) fn with_role(role: Role, fresh: bool) -> Self {
        let conversation = (PROTOCOL.start)(Start { role, fresh });
        let thread = ThreadId { tgid: 1, tid: 1, start: 1 };
        Self {
            conversation,
            out: Vec::new(),
            call: 0,
            time: 0,
            thread,
            active: None,
            multiplexed: false,
            owed: [0; 2],
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        let (time, call, thread) = (self.time, self.call, self.thread);
        Mark { time, call, thread, active: self.active, multiplexed: self.multiplexed, ..Mark::default() }
    }

    /// A call of its own.
    pub(crate) fn call(&mut self, call: &Call) {
        self.next_call();
        self.part(call.0, &call.1, true);
    }

    pub(crate) fn next_call(&mut self) {
        self.call += 1;
        self.time += 1000;
    }

    /// More of the current call.
    pub(crate) fn part(&mut self, side: Side, bytes: &[u8], call_start: bool) {
        let mark = self.mark();
        self.conversation.on_bytes(Input { side, bytes, call_start, mark }, &mut self.out);
    }

    pub(crate) fn gap(&mut self, side: Side, lost: usize) {
        self.conversation.on_gap(side, lost as u64, self.mark(), &mut self.out);
    }

    pub(crate) fn end(&mut self, side: Side, end: End) {
        self.conversation.on_end(side, end, self.mark(), &mut self.out);
    }

    pub(crate) fn exchanges(&self) -> impl Iterator<Item = (&Exchange, &RedisExchange)> {
        self.out.iter().filter_map(|progress| match progress {
            Progress::Ended { exchange, .. } => match &exchange.detail {
                crate::protocol::Detail::Redis(detail) => Some((&**exchange, detail)),
                _ => None,
            },
            _ => None,
        })
    }

    /// One line an exchange: each command with its outcome.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.exchanges().map(|(_, exchange)| line(exchange)).collect()
    }

    pub(crate) fn abandoned(&self) -> Vec<AbandonReason> {
        let reason = |progress: &Progress| match progress {
            Progress::Abandoned { reason, .. } => Some(*reason),
            _ => None,
        };
        self.out.iter().filter_map(reason).collect()
    }

    /// What the stages behind rely on.
    pub(crate) fn check(&mut self) {
        self.end(Side::Response, End::Closed);
        let mut open = std::collections::HashSet::new();
        for progress in &self.out {
            match progress {
                Progress::Begun { id, .. } => assert!(open.insert(*id), "{id} begun twice"),
                Progress::Touched { id, .. } | Progress::Context { id, .. } | Progress::Answered { id } => {
                    assert!(open.contains(id))
                }
                Progress::Ended { id, exchange } => {
                    assert!(open.remove(id), "{id} ended without a beginning");
                    let times = exchange.times;
                    assert!(times.request_first.time <= times.request_last.time);
                    assert!(times.request_last.time <= times.end.time);
                }
                Progress::Abandoned { id, .. } => assert!(open.remove(id)),
            }
        }
        assert!(open.is_empty(), "never ended: {open:?}");
    }
}

pub(crate) fn line(exchange: &RedisExchange) -> String {
    let mut line = exchange.commands.iter().map(told).collect::<Vec<_>>().join(", ");
    if let Some(database) = exchange.database {
        line.push_str(&format!(" @{database}"));
    }
    line
}

fn told(command: &Command) -> String {
    let mut text = format!("{} {}", command.name, outcome(&command.reply));
    for (name, result) in &command.executed {
        text.push_str(&format!(" [{name} {}]", outcome(result)));
    }
    text
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Error(prefix) => prefix.to_string(),
        Outcome::Unanswered(word) => (*word).to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
