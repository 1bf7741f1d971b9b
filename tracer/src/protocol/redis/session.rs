//! A connection's state as its commands and replies change it.

use std::borrow::Cow;

use super::batch::Place;
use super::command::Outcome;
use super::reply::{MAX_OUTCOMES, Reply};
use super::request::Request;

/// What the server will send for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// One reply that changes nothing.
    One,
    /// The same, and a RESP2 connection that has subscriptions may ask for it.
    Aside,
    /// One confirmation for each of so many channels.
    Subscribe(Family, u32),
    /// The same; `None`: one for each that is subscribed, at least one.
    Unsubscribe(Family, Option<u32>),
    /// `+OK`, then lines without end; nothing if it does so already.
    Monitor,
    /// The connection's end, or an error.
    Shutdown,
    /// The database after `+OK`.
    Select(u32),
    /// The protocol version after the reply.
    Hello(u8),
    /// The state of a new connection after `+RESET`.
    Reset,
    /// A transaction begins.
    Multi,
    /// An array with the replies of the transaction's commands.
    Exec,
    /// The transaction is dropped.
    Discard,
    /// `CLIENT REPLY` inside a transaction: what it does there cannot be followed.
    Opaque,
}

/// The three kinds of subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Channel,
    Pattern,
    Shard,
}

/// Who a message from the server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It answers a command.
    Answer,
    /// No command asked for it.
    Push,
    /// Either: it looks like a message of a subscription that may have been made before anything was seen.
    Unclear,
}

/// What a reply means for the command it belongs to.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// More replies will come for it.
    Partial,
    /// It is answered.
    Done(Outcome),
    /// It cannot be its reply: the pairing is wrong.
    Mismatch,
}

/// A command that waits for `EXEC`.
#[derive(Debug)]
pub(super) struct Queued {
    /// Its exchange and place there.
    pub(super) exchange: u64,
    pub(super) place: Place,
    pub(super) name: Cow<'static, str>,
    pub(super) expect: Expect,
}

/// A transaction between `MULTI` and its end.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Its first commands.
    pub(super) queued: Vec<Queued>,
    /// How many there are.
    pub(super) total: u64,
    /// It holds a command whose reply inside `EXEC` cannot be told.
    pub(super) opaque: bool,
}

/// What the connection is set to.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The selected database, when it is known.
    pub(super) database: Option<u32>,
    pub(super) transaction: Option<Transaction>,
    replies: ReplyMode,
    /// `CLIENT REPLY` was used: whether a reply is due rests on a command having succeeded.
    pub(super) reply_mode_used: bool,
    in_multi: bool,
    resp3: bool,
    monitor: bool,
    /// What the connection is subscribed to is known.
    subscriptions_known: bool,
    channels: i64,
    patterns: i64,
    shards: i64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ReplyMode {
    #[default]
    On,
    Off,
    SkipNext,
}

impl Session {
    /// A connection seen from its first byte.
    pub(super) fn new() -> Self {
        Self { database: Some(0), subscriptions_known: true, ..Self::default() }
    }

    /// A connection of which something was missed.
    pub(super) fn forget(&mut self) {
        *self = Self {
            resp3: self.resp3,
            reply_mode_used: self.reply_mode_used,
            channels: self.channels,
            patterns: self.patterns,
            shards: self.shards,
            ..Self::default()
        };
    }

    /// What a command makes the server send; `None`: nothing.
    pub(super) fn expect(&mut self, request: &Request) -> Option<Expect> {
        let expect = kind(request);
        match expect {
            Expect::Multi => self.in_multi = true,
            Expect::Exec | Expect::Discard => self.in_multi = false,
            Expect::Reset => {
                self.in_multi = false;
                self.replies = ReplyMode::On;
            }
            Expect::Opaque if !self.in_multi => return self.reply_mode(request),
            _ => {}
        }
        self.is_answered().then_some(expect)
    }

    /// Whether the next command is answered; it uses `SKIP` up.
    fn is_answered(&mut self) -> bool {
        let was = self.replies;
        if was == ReplyMode::SkipNext {
            self.replies = ReplyMode::On;
        }
        was == ReplyMode::On
    }

    /// `CLIENT REPLY`: see `clientReplyCommand` in Redis's `networking.c`.
    fn reply_mode(&mut self, request: &Request) -> Option<Expect> {
        const ARGUMENTS: u32 = 2;
        self.reply_mode_used = true;
        let is_off = self.replies == ReplyMode::Off;
        let answered = self.is_answered();
        let mode = |word| request.arguments == ARGUMENTS && request.begins_with(&[b"REPLY", word]);
        if mode(b"ON") {
            self.replies = ReplyMode::On;
            return Some(Expect::One);
        }
        if mode(b"OFF") {
            self.replies = ReplyMode::Off;
            return None;
        }
        if mode(b"SKIP") {
            self.replies = if is_off { ReplyMode::Off } else { ReplyMode::SkipNext };
            return None;
        }
        // A syntax error.
        answered.then_some(Expect::One)
    }

    /// A transaction was begun and not ended, as far as commands tell.
    pub(super) fn in_transaction(&self) -> bool {
        self.in_multi
    }

    /// Whether a message that begins so may be one that no command asked for.
    pub(super) fn may_push(&self, first: u8) -> bool {
        match first {
            b'>' => true,
            b'*' => self.is_subscribed(),
            b'+' => self.monitor,
            _ => false,
        }
    }

    /// Who a message is for; `front` is what is due next.
    pub(super) fn origin(&mut self, reply: &Reply, front: Option<Expect>) -> Origin {
        let confirms = front.is_some_and(|expect| expect.is_confirmed_by(&reply.first));
        let is_push = match reply.kind {
            b'>' => {
                self.resp3 = true;
                !confirms
            }
            // A server takes a subscription back when a slot moves away.
            b'*' if self.is_subscribed() => {
                reply.is_message() || (reply.first == b"sunsubscribe" && !confirms)
            }
            b'*' if !self.subscriptions_known && !self.resp3 && reply.is_message() => return Origin::Unclear,
            b'+' => self.monitor && reply.first.first().is_some_and(u8::is_ascii_digit),
            _ => false,
        };
        if is_push && reply.first == b"sunsubscribe" {
            self.shards = reply.last_integer.unwrap_or(0);
        }
        if is_push { Origin::Push } else { Origin::Answer }
    }

    /// Messages come as arrays only in RESP2, to a connection that has subscriptions.
    fn is_subscribed(&self) -> bool {
        !self.resp3 && (self.channels > 0 || self.patterns > 0 || self.shards > 0)
    }

    /// Whether the server passes over the command that is next: `monitorCommand` returns without a word when the
    /// connection is a monitor already (but a subscriber may not call it in RESP2).
    pub(super) fn passes_over(&self, front: Expect) -> bool {
        front == Expect::Monitor && self.monitor && self.transaction.is_none() && !self.is_subscribed()
    }

    /// Takes a reply to a command; `expect` becomes what is still to come.
    pub(super) fn answer(&mut self, expect: &mut Expect, reply: &Reply) -> Answer {
        if matches!(reply.outcome, Outcome::Error(_)) {
            if *expect == Expect::Multi && self.transaction.is_none() {
                self.in_multi = false;
            }
            return Answer::Done(reply.outcome.clone());
        }
        if reply.kind == b'+' && reply.first == b"QUEUED" {
            return Answer::Done(Outcome::Queued);
        }
        match expect {
            Expect::Subscribe(_, left) | Expect::Unsubscribe(_, Some(left)) => {
                *left = left.saturating_sub(1);
                let last = *left == 0;
                self.confirm(*expect, reply, last)
            }
            Expect::Unsubscribe(family, None) => {
                let family = *family;
                match self.confirm(*expect, reply, false) {
                    Answer::Partial if self.count(family) <= 0 => Answer::Done(Outcome::Ok),
                    answer => answer,
                }
            }
            Expect::Opaque => Answer::Mismatch,
            _ => {
                if *expect != Expect::Aside && !self.resp3 {
                    // Only RESP3 lets a subscriber do other things.
                    (self.channels, self.patterns, self.shards) = (0, 0, 0);
                    self.subscriptions_known = true;
                }
                self.apply(*expect, &reply.outcome);
                Answer::Done(reply.outcome.clone())
            }
        }
    }

    fn confirm(&mut self, expect: Expect, reply: &Reply, last: bool) -> Answer {
        if !expect.is_confirmed_by(&reply.first) {
            return Answer::Mismatch;
        }
        let total = reply.last_integer.unwrap_or(0);
        match expect.family() {
            Some(Family::Channel) => self.channels = total.saturating_sub(self.patterns),
            Some(Family::Pattern) => self.patterns = total.saturating_sub(self.channels),
            Some(Family::Shard) => self.shards = total,
            None => {}
        }
        if last { Answer::Done(Outcome::Ok) } else { Answer::Partial }
    }

    fn count(&self, family: Family) -> i64 {
        match family {
            Family::Channel => self.channels,
            Family::Pattern => self.patterns,
            Family::Shard => self.shards,
        }
    }

    /// What a command that succeeded changes. `EXEC` and `DISCARD` are the caller's.
    pub(super) fn apply(&mut self, expect: Expect, outcome: &Outcome) {
        if *outcome != Outcome::Ok {
            return;
        }
        match expect {
            Expect::Select(index) => self.database = Some(index),
            Expect::Hello(version) => {
                self.subscriptions_known &= !self.resp3 || version >= 3;
                self.resp3 = version >= 3;
            }
            Expect::Monitor => self.monitor = true,
            Expect::Multi => self.transaction = Some(Transaction::default()),
            // What was sent since then has changed these already: they are the commands' side.
            Expect::Reset => {
                *self = Self {
                    reply_mode_used: self.reply_mode_used,
                    replies: self.replies,
                    in_multi: self.in_multi,
                    transaction: self.transaction.take(),
                    ..Self::new()
                };
            }
            _ => {}
        }
    }
}

impl Transaction {
    /// One more command was answered with `QUEUED`.
    pub(super) fn push(&mut self, queued: Queued) {
        self.total += 1;
        self.opaque |=
            matches!(queued.expect, Expect::Opaque | Expect::Subscribe(..) | Expect::Unsubscribe(..));
        if self.queued.len() < MAX_OUTCOMES {
            self.queued.push(queued);
        }
    }
}

impl Expect {
    fn family(self) -> Option<Family> {
        match self {
            Self::Subscribe(family, _) | Self::Unsubscribe(family, _) => Some(family),
            _ => None,
        }
    }

    /// Whether a message whose first element is this confirms a step of the subscription.
    fn is_confirmed_by(self, first: &[u8]) -> bool {
        let word: &[u8] = match self {
            Self::Subscribe(Family::Channel, _) => b"subscribe",
            Self::Subscribe(Family::Pattern, _) => b"psubscribe",
            Self::Subscribe(Family::Shard, _) => b"ssubscribe",
            Self::Unsubscribe(Family::Channel, _) => b"unsubscribe",
            Self::Unsubscribe(Family::Pattern, _) => b"punsubscribe",
            Self::Unsubscribe(Family::Shard, _) => b"sunsubscribe",
            _ => return false,
        };
        first == word
    }
}

fn kind(request: &Request) -> Expect {
    let count = request.arguments;
    let unsubscribe = |family| Expect::Unsubscribe(family, (count > 0).then_some(count));
    match &*request.command.name {
        "SUBSCRIBE" if count > 0 => Expect::Subscribe(Family::Channel, count),
        "PSUBSCRIBE" if count > 0 => Expect::Subscribe(Family::Pattern, count),
        "SSUBSCRIBE" if count > 0 => Expect::Subscribe(Family::Shard, count),
        "UNSUBSCRIBE" => unsubscribe(Family::Channel),
        "PUNSUBSCRIBE" => unsubscribe(Family::Pattern),
        "SUNSUBSCRIBE" => unsubscribe(Family::Shard),
        "MONITOR" if count == 0 => Expect::Monitor,
        "SHUTDOWN" => Expect::Shutdown,
        "SELECT" => request.database().map_or(Expect::One, Expect::Select),
        "HELLO" if request.begins_with(&[b"3"]) => Expect::Hello(3),
        "HELLO" if request.begins_with(&[b"2"]) => Expect::Hello(2),
        "PING" | "QUIT" => Expect::Aside,
        "RESET" => Expect::Reset,
        "MULTI" => Expect::Multi,
        "EXEC" => Expect::Exec,
        "DISCARD" => Expect::Discard,
        "CLIENT" if request.begins_with(&[b"REPLY"]) => Expect::Opaque,
        _ => Expect::One,
    }
}
