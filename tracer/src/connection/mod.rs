//! Connections: from calls on sockets to the contiguous bytes of a conversation.
//!
//! A [`Connection`] orders what its socket's calls moved by position ([`stream`]), finds out which protocol it
//! speaks ([`detect`]) and then hands bytes, gaps and ends to that protocol's conversation.

pub mod detect;
pub mod endpoints;
mod origins;
mod search;
mod standing;
pub mod stats;
pub mod stream;
pub mod table;
mod wanted;

use std::sync::Arc;

use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionEvent, ConnectionNote, Direction};

use self::detect::{Held, Hints};
pub use self::search::MAX_ATTEMPTS;
pub use self::standing::Standing;
pub use self::stats::ConnectionStats;
use self::stream::{Extent, Step, Stream};
pub use self::wanted::WantedEnds;
use crate::event::{Endpoint, Endpoints, Mark, Role, Side};
use crate::probe::decode::Data;
use crate::protocol::{Conversation, End, HealthPatterns, Input, Progress, Protocol, Successor, Window};

/// What the connection stage works with, beside the connection itself.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The protocols that detection tries.
    pub protocols: &'static [Protocol],
    /// Which ends become spans.
    pub wanted: WantedEnds,
    /// What tells health checks.
    pub health: &'a Arc<HealthPatterns>,
    /// What servers spoke before.
    pub hints: &'a mut Hints,
    /// Counters.
    pub stats: &'a mut ConnectionStats,
    /// Where conversations tell their progress.
    pub out: &'a mut Vec<Progress>,
}

/// Where the streams of a TCP connection stood when it was closed: sequence numbers behind the last bytes that the
/// application read and wrote, where FINs can count for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Read.
    pub ingress: u32,
    /// Written.
    pub egress: u32,
}

/// One connection of a traced process.
#[derive(Debug)]
pub struct Connection {
    role: Option<Role>,
    /// The name of the protocol, once it was found.
    protocol: Option<&'static str>,
    /// Shared with what is told of its exchanges later.
    endpoints: Arc<Endpoints>,
    /// AF_UNIX: the socket at the other end, or 0.
    peer_sock: u64,
    connected_by: Option<Mark>,
    /// Positions are TCP sequence numbers.
    sequence: bool,
    /// Bytes have moved.
    moved: bool,
    ingress: Stream,
    egress: Stream,
    state: State,
    window: Window,
}

/// ```text
/// Detecting ──protocol found──▶ Following
///     └──none, or encrypted───▶ Ignored
/// ```
#[derive(Debug)]
enum State {
    Detecting(Detecting),
    Following(Following),
    Ignored,
}

#[derive(Debug)]
struct Detecting {
    /// No byte of the connection was missed or passed over.
    fresh: bool,
    /// Calls that did not suffice.
    held: Option<Box<Held>>,
    attempts: u8,
    /// The last attempt failed: the next one begins when bytes move the other way than this.
    passing: Option<Direction>,
}

#[derive(Debug)]
struct Following {
    role: Role,
    conversation: Box<dyn Conversation>,
}

/// A part of a call's bytes, contiguous.
#[derive(Clone, Copy)]
struct Piece<'a> {
    direction: Direction,
    bytes: &'a [u8],
    call_start: bool,
    mark: Mark,
}

impl Connection {
    /// A connection that the probe announced.
    #[must_use]
    pub fn announced(note: ConnectionNote, event: &ConnectionEvent, mark: Mark) -> Self {
        let role = match note {
            ConnectionNote::Connect => Some(Role::Client),
            ConnectionNote::Accept => Some(Role::Server),
            ConnectionNote::Seen
            | ConnectionNote::Closed
            | ConnectionNote::Shutdown
            | ConnectionNote::Established => endpoints::role(event),
        };
        let fresh = matches!(note, ConnectionNote::Connect | ConnectionNote::Accept);
        let sequence = event.header.flags & flag::SEQUENCE != 0;
        let (ingress, egress) = origins::origins(event, fresh, sequence);
        Self {
            role,
            protocol: None,
            endpoints: Arc::new(endpoints::endpoints(event)),
            peer_sock: event.peer_sock,
            connected_by: (note == ConnectionNote::Connect).then_some(mark),
            sequence,
            moved: false,
            ingress,
            egress,
            state: State::Detecting(Detecting { fresh, held: None, attempts: 0, passing: None }),
            window: Window::Default,
        }
    }

    /// A connection of which nothing is known but that it moves bytes.
    #[must_use]
    pub fn unannounced() -> Self {
        Self {
            role: None,
            protocol: None,
            endpoints: Arc::default(),
            peer_sock: 0,
            connected_by: None,
            sequence: false,
            moved: false,
            ingress: Stream::default(),
            egress: Stream::default(),
            state: State::Detecting(Detecting { fresh: false, held: None, attempts: 0, passing: None }),
            window: Window::Default,
        }
    }

    /// Takes the addresses from an announcement that came after the first bytes.
    pub fn learn(&mut self, event: &ConnectionEvent) {
        if *self.endpoints == Endpoints::default() {
            self.endpoints = Arc::new(endpoints::endpoints(event));
            self.peer_sock = event.peer_sock;
            self.role = self.role.or(endpoints::role(event));
        }
    }

    /// Takes where the peer's bytes begin from the event that its `connect` was answered.
    pub fn establish(&mut self, event: &ConnectionEvent) {
        if self.ingress.next().is_none() {
            self.ingress = Stream::at(event.rx_position.into());
        }
    }

    /// The traced process's role, if it is known.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match &self.state {
            State::Following(following) => Some(following.role),
            State::Detecting(_) | State::Ignored => self.role,
        }
    }

    /// The name of the protocol that it was found to speak.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// Both ends.
    #[must_use]
    pub fn endpoints(&self) -> &Arc<Endpoints> {
        &self.endpoints
    }

    /// Who called `connect`, and what was active on that thread.
    #[must_use]
    pub fn connected_by(&self) -> Option<Mark> {
        self.connected_by
    }

    /// Whether the event is about a connection to the same peer. The local port is not compared: the kernel takes it
    /// away before it tells of a close.
    #[must_use]
    pub fn has_peer_of(&self, event: &ConnectionEvent) -> bool {
        self.endpoints.peer == endpoints::endpoints(event).peer
    }

    /// Whether bytes have moved since it was announced.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    /// The port of the server's address, on either end.
    #[must_use]
    pub fn server_port(&self) -> Option<u16> {
        endpoints::server(&self.endpoints, self.role()).and_then(Endpoint::port)
    }

    /// The window that was asked for last.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Whether bytes have moved and the protocol is still looked for.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.moved && matches!(self.state, State::Detecting(_))
    }

    /// The window that is wanted from now on, when it is another one than before.
    pub fn window_change(&mut self) -> Option<Window> {
        let wanted = match &self.state {
            State::Detecting(_) => Window::Default,
            State::Following(following) => following.conversation.window(),
            State::Ignored => Window::Nothing,
        };
        (wanted != self.window).then(|| {
            self.window = wanted;
            wanted
        })
    }

    /// What the connection carries since it has changed its protocol.
    #[must_use]
    pub fn successor(&self) -> Option<Successor> {
        match &self.state {
            State::Following(following) => following.conversation.successor(),
            State::Detecting(_) | State::Ignored => None,
        }
    }

    /// Takes what one call moved.
    pub fn on_data(&mut self, data: &Data<'_>, mark: Mark, stage: &mut Stage<'_>) {
        self.moved |= data.length > 0;
        stage.stats.bytes += u64::from(data.length);
        if let Some(seen) = self.advance(data, mark, stage) {
            self.deliver(data, seen, mark, stage);
        }
        if data.header.flags & flag::END != 0 {
            let end = if data.errno == 0 { End::Finished } else { End::Failed(data.errno) };
            self.on_end(data.direction, end, mark, stage);
        }
    }

    /// A direction has ended.
    pub fn on_end(&mut self, direction: Direction, end: End, mark: Mark, stage: &mut Stage<'_>) {
        if let State::Following(following) = &mut self.state {
            let side = Side::of(following.role, direction);
            following.conversation.on_end(side, end, mark, stage.out);
        }
    }

    /// The connection is over. `closed` tells where its streams stood when the kernel closed it; without it nobody
    /// told how it ended. `lost` says that events were lost, which may have been its.
    pub fn close(&mut self, closed: Option<Ends>, lost: bool, mark: Mark, stage: &mut Stage<'_>) {
        if let Some(ends) = closed {
            self.reach(Direction::Ingress, ends.ingress, mark, stage);
            self.reach(Direction::Egress, ends.egress, mark, stage);
        }
        let end = match closed {
            Some(_) => End::Closed,
            None if lost => End::Lost,
            None => End::Forgotten,
        };
        if let State::Following(following) = &mut self.state {
            following.conversation.on_end(Side::Request, end, mark, stage.out);
            following.conversation.on_end(Side::Response, end, mark, stage.out);
        }
        self.state = State::Ignored;
    }

    /// Bytes of a direction before the TCP sequence number `end`, where it ended, that no call told of.
    #[must_use]
    pub fn missing_before(&self, direction: Direction, end: u32) -> u64 {
        // Of what is of no interest not all is told, so that nothing is missing.
        if !self.sequence || matches!(self.state, State::Ignored) {
            return 0;
        }
        match direction {
            Direction::Ingress => self.ingress.missing_before(end),
            Direction::Egress => self.egress.missing_before(end),
        }
    }

    /// A direction stood at the TCP sequence number `end` when it ended: what no call told of is missing.
    pub fn reach(&mut self, direction: Direction, end: u32, mark: Mark, stage: &mut Stage<'_>) {
        let lost = self.missing_before(direction, end);
        if lost > 0 {
            stage.stats.jumps += 1;
            stage.stats.jump_bytes += lost;
            self.gap(direction, lost, mark, stage);
        }
    }

    /// Moves the stream on. Returns how many of the call's first bytes were seen before, or `None` when nothing
    /// of the call is new.
    fn advance(&mut self, data: &Data<'_>, mark: Mark, stage: &mut Stage<'_>) -> Option<usize> {
        if data.length == 0 && data.errno != 0 {
            return None;
        }
        self.sequence |= data.header.flags & flag::SEQUENCE != 0;
        let stream = match data.direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        };
        let step = stream.advance(Extent {
            position: data.position,
            length: data.length,
            sequence: self.sequence,
            fin_counted: self.sequence && data.header.flags & flag::DIRECTION_DONE != 0,
        });
        match step {
            Step::Forward { lost: 0 } => Some(0),
            // Of what is of no interest not all is told.
            Step::Forward { .. } if matches!(self.state, State::Ignored) => Some(0),
            Step::Forward { lost } => {
                stage.stats.jumps += 1;
                stage.stats.jump_bytes += lost;
                self.gap(data.direction, lost, mark, stage);
                Some(0)
            }
            Step::Overlap { seen } => {
                stage.stats.overlap += 1;
                usize::try_from(seen).ok()
            }
            Step::Stale => {
                stage.stats.step_back += u64::from(data.length > 0);
                None
            }
        }
    }

    /// Hands on what was captured of a call, without its first `seen` bytes.
    fn deliver(&mut self, data: &Data<'_>, seen: usize, mark: Mark, stage: &mut Stage<'_>) {
        if matches!(self.state, State::Ignored) {
            return;
        }
        let length = data.length as usize;
        let between = length.saturating_sub(data.head.len()).saturating_sub(data.tail.len());
        let head = data.head.get(seen..).unwrap_or_default();
        let seen_behind = seen.saturating_sub(data.head.len());
        let missing = between.saturating_sub(seen_behind) as u64;
        let tail = data.tail.get(seen_behind.saturating_sub(between)..).unwrap_or_default();
        let call_start = seen == 0 && data.header.flags & flag::CONTINUED == 0;
        let piece = Piece { direction: data.direction, bytes: head, call_start, mark };
        self.take(piece, stage);
        if missing > 0 {
            self.count_missing(data, missing, stage.stats);
            self.gap(data.direction, missing, mark, stage);
        }
        self.take(Piece { bytes: tail, call_start: false, ..piece }, stage);
    }

    fn count_missing(&self, data: &Data<'_>, missing: u64, stats: &mut ConnectionStats) {
        if data.header.flags & flag::UNCAPTURABLE != 0 {
            stats.uncapturable += 1;
            stats.uncapturable_bytes += missing;
        } else if self.window != Window::Nothing {
            stats.windowed += 1;
            stats.windowed_bytes += missing;
        }
    }

    fn take(&mut self, piece: Piece<'_>, stage: &mut Stage<'_>) {
        if piece.bytes.is_empty() {
            return;
        }
        match &mut self.state {
            State::Following(following) => following.take(piece, stage.out),
            State::Detecting(_) => self.detect(piece, stage),
            State::Ignored => {}
        }
    }

    fn gap(&mut self, direction: Direction, lost: u64, mark: Mark, stage: &mut Stage<'_>) {
        match &mut self.state {
            State::Following(following) => following.lose(direction, lost, mark, stage.out),
            State::Detecting(detecting) => {
                detecting.fresh = false;
                let goes_on = detecting.held.as_mut().is_some_and(|held| held.lose(direction, lost));
                // Else what is held cannot be continued: begin anew at the next call.
                if let Some(held) = detecting.held.take_if(|_| !goes_on) {
                    stage.stats.undetected_bytes += (held.ingress().len() + held.egress().len()) as u64;
                }
            }
            State::Ignored => {}
        }
    }
}

impl Following {
    fn take(&mut self, piece: Piece<'_>, out: &mut Vec<Progress>) {
        let Piece { direction, bytes, call_start, mark } = piece;
        let side = Side::of(self.role, direction);
        self.conversation.on_bytes(Input { side, bytes, call_start, mark }, out);
    }

    fn lose(&mut self, direction: Direction, lost: u64, mark: Mark, out: &mut Vec<Progress>) {
        if lost > 0 {
            self.conversation.on_gap(Side::of(self.role, direction), lost, mark, out);
        }
    }
}
