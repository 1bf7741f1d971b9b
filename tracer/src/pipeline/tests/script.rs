//! A small language for event sequences: who reads, writes, waits and logs, in order.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tracer_ebpf::event::WAITERS;
use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionEvent, ConnectionNote, Direction, Family, Header, ProcessEvent, ProcessNote};

use super::line;
use crate::correlate::log_line::HOLD;
use crate::enrich::Resource;
use crate::event::{ConnectionId, Process};
use crate::export::{Item, Telemetry};
use crate::pipeline::{Ask, Environment, Exports, Pipeline, PipelineConfig};
use crate::probe::decode::{Data, Event, Log};
use crate::protocol::Protocol;
use crate::span::{Attribute, LogRecord, LogStream, Span};

/// A thread of process 100, by its id.
pub(crate) type Tid = u32;
/// A connection: socket address and inode number.
pub(crate) type Conn = (u64, u64);

/// First positions of connections: near the end of the sequence space, so that one wraps. Each connection has its own,
/// as in life: equal ones would make two sockets the ends of one connection.
fn base((sock, ino): Conn) -> u32 {
    let apart = (sock as u32).wrapping_mul(0x0100_0000).wrapping_add((ino as u32).wrapping_mul(0x0001_0000));
    if ino == 11 { 0xffff_fff0 } else { 0xffff_fff0_u32.wrapping_add(apart) }
}

/// Added to CLOCK_MONOTONIC.
pub(crate) const WALL: u64 = 1_000_000_000_000;

/// Writes to this inode are not to a log.
pub(crate) const NOT_A_LOG: u64 = 999;

/// This process exports by itself, and nothing of it is wanted.
pub(crate) const SDK_SKIPPED: u32 = 201;

/// This process exports by itself, and its log lines are wanted.
pub(crate) const SDK_LOGS: u32 = 202;

pub(crate) struct Script {
    pub(crate) pipeline: Pipeline,
    pub(crate) time: u64,
    positions: HashMap<(Conn, Direction), u32>,
    epochs: HashMap<Tid, (u32, u32)>,
    contexts: HashMap<Tid, (u64, [u64; WAITERS])>,
    /// Whose calls follow.
    pub(crate) tgid: u32,
    lost: bool,
    /// Requests wait for their clients on this node.
    pub(crate) patient: bool,
    /// The kernel's positions of both directions come with each call.
    pub(crate) tells_both: bool,
    pub(crate) telemetry: Vec<Telemetry>,
    pub(crate) asks: Vec<Ask>,
}

struct World;

impl Environment for World {
    fn resource(&mut self, process: Process) -> Arc<Resource> {
        let attributes = vec![Attribute::new("process.pid", i64::from(process.tgid))];
        Arc::new(Resource { attributes })
    }

    fn exports(&mut self, process: Process) -> Exports {
        match process.tgid {
            SDK_SKIPPED => Exports { spans: false, logs: false },
            SDK_LOGS => Exports { spans: false, logs: true },
            _ => Exports::ALL,
        }
    }

    fn log_stream(&mut self, _: u32, _: u32, ino: u64, fd: u32) -> Option<LogStream> {
        (ino != NOT_A_LOG).then_some(if fd == 2 { LogStream::Stderr } else { LogStream::Stdout })
    }

    fn on_process(&mut self, _: ProcessNote, _: &ProcessEvent) {}
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::with(PipelineConfig::default())
    }

    pub(crate) fn with(config: PipelineConfig) -> Self {
        Self::speaking(line::PROTOCOLS, config)
    }

    pub(crate) fn speaking(protocols: &'static [Protocol], config: PipelineConfig) -> Self {
        let mut pipeline = Pipeline::new(config, protocols, Box::new(World), [7; 32]);
        pipeline.set_wall_offset(i64::try_from(WALL).unwrap());
        Self {
            pipeline,
            time: 1000,
            positions: HashMap::new(),
            epochs: HashMap::new(),
            contexts: HashMap::new(),
            tgid: 100,
            lost: false,
            patient: false,
            tells_both: false,
            telemetry: Vec::new(),
            asks: Vec::new(),
        }
    }

    pub(crate) fn header(&mut self, tid: Tid) -> Header {
        self.time += 10;
        let (context, waiters) = self.contexts.get(&tid).copied().unwrap_or_default();
        let (wait_epoch, mux_epoch) = self.epochs.get(&tid).copied().unwrap_or((5, 3));
        Header {
            time_ns: self.time,
            tgid: self.tgid,
            tid,
            thread_start_ns: u64::from(tid),
            process_start_ns: 1,
            cgroup_id: 55,
            wait_epoch,
            mux_epoch,
            context,
            waiters,
            flags: if std::mem::take(&mut self.lost) { flag::LOST } else { 0 },
            ..Header::default()
        }
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) {
        self.pipeline.on_event(event);
        if !self.patient {
            // Nobody on this node shows up as the client of what was served.
            self.pipeline.assembler.expire_hops(u64::MAX);
            self.pipeline.release(self.time);
        }
        self.telemetry.extend(self.pipeline.drain());
        self.asks.extend(self.pipeline.drain_asks());
    }

    /// The context that runs on the thread from now on.
    pub(crate) fn run(&mut self, tid: Tid, context: u64) {
        self.run_for(tid, context, &[]);
    }

    /// The same, with contexts that wait for it, nearest first.
    pub(crate) fn run_for(&mut self, tid: Tid, context: u64, waiters: &[u64]) {
        let mut all = [0; WAITERS];
        all[..waiters.len()].copy_from_slice(waiters);
        self.contexts.insert(tid, (context, all));
    }

    /// The thread comes back from a poll of one descriptor.
    pub(crate) fn wait(&mut self, tid: Tid) {
        self.epochs.entry(tid).or_insert((5, 3)).0 += 1;
    }

    /// The thread comes back from a wait on several.
    pub(crate) fn epoll(&mut self, tid: Tid) {
        let epochs = self.epochs.entry(tid).or_insert((5, 3));
        *epochs = (epochs.0 + 1, epochs.1 + 1);
    }

    /// `connect` returns before it is answered: the peer's first position is not known.
    pub(crate) fn connecting(&mut self, tid: Tid, conn: Conn) {
        self.in_syn_sent(tid, conn, 0);
    }

    /// `connect` returns while another processor handles the answer: the position is set, and the state not yet.
    pub(crate) fn connecting_and_answered(&mut self, tid: Tid, conn: Conn) {
        let position = self.position(conn, Direction::Ingress);
        self.in_syn_sent(tid, conn, position);
    }

    fn in_syn_sent(&mut self, tid: Tid, conn: Conn, rx_position: u32) {
        const SYN_SENT: u8 = 2;
        let position = self.position(conn, Direction::Egress);
        let mut header = self.header(tid);
        header.flags |= flag::SEQUENCE;
        let event = ConnectionEvent {
            header,
            sock: conn.0,
            ino: conn.1,
            rx_position,
            tx_position: position,
            state: SYN_SENT,
            ..connection_event()
        };
        self.event(&Event::Connection(ConnectionNote::Connect, event));
    }

    pub(crate) fn note(&mut self, tid: Tid, conn: Conn, note: ConnectionNote) {
        let mut header = self.header(tid);
        header.flags |= flag::SEQUENCE;
        let (ingress, egress) =
            (self.position(conn, Direction::Ingress), self.position(conn, Direction::Egress));
        let event = ConnectionEvent {
            header,
            sock: conn.0,
            ino: conn.1,
            rx_position: ingress,
            rcv_nxt: ingress,
            tx_position: egress,
            how: 1,
            ..connection_event()
        };
        self.event(&Event::Connection(note, event));
    }

    pub(crate) fn accept(&mut self, tid: Tid, conn: Conn) {
        self.note(tid, conn, ConnectionNote::Accept);
    }

    pub(crate) fn connect(&mut self, tid: Tid, conn: Conn) {
        self.note(tid, conn, ConnectionNote::Connect);
    }

    pub(crate) fn close(&mut self, conn: Conn) {
        self.note(0, conn, ConnectionNote::Closed);
    }

    /// Makes two sockets the ends of one connection.
    pub(crate) fn link(&mut self, client: Conn, server: Conn) {
        for (one, other) in [(Direction::Egress, Direction::Ingress), (Direction::Ingress, Direction::Egress)]
        {
            let position = base(client).wrapping_add(u32::from(one == Direction::Ingress) << 15);
            self.positions.insert((client, one), position);
            self.positions.insert((server, other), position);
        }
    }

    pub(crate) fn recv(&mut self, tid: Tid, conn: Conn, text: &str) {
        self.moved(tid, conn, Direction::Ingress, text, |_| {});
    }

    pub(crate) fn send(&mut self, tid: Tid, conn: Conn, text: &str) {
        self.moved(tid, conn, Direction::Egress, text, |_| {});
    }

    /// A call as it would be, but for what `change` does to it.
    pub(crate) fn moved(
        &mut self,
        tid: Tid,
        conn: Conn,
        direction: Direction,
        bytes: impl AsRef<[u8]>,
        change: impl FnOnce(&mut Data<'_>),
    ) {
        let bytes = bytes.as_ref();
        let mut header = self.header(tid);
        header.flags |= flag::SEQUENCE;
        let other = if direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress };
        let other_position = self.tells_both.then(|| self.position(conn, other));
        let mut data = Data {
            header,
            connection: ConnectionId { sock: conn.0, ino: conn.1 },
            position: self.position(conn, direction).into(),
            other_position,
            length: u32::try_from(bytes.len()).unwrap(),
            direction,
            errno: 0,
            head: bytes,
            tail: &[],
        };
        change(&mut data);
        let behind = (data.position as u32).wrapping_add(data.length);
        self.positions.insert((conn, direction), behind);
        self.event(&Event::Data(data));
    }

    /// A call whose event comes late: its bytes are those at `from`.
    pub(crate) fn late(&mut self, tid: Tid, conn: Conn, direction: Direction, from: u32, bytes: &[u8]) {
        let now = self.position(conn, direction);
        self.moved(tid, conn, direction, bytes, |data| data.position = from.into());
        self.positions.insert((conn, direction), now);
    }

    /// A read of 0.
    pub(crate) fn recv_end(&mut self, tid: Tid, conn: Conn, errno: u16) {
        self.moved(tid, conn, Direction::Ingress, "", |data| {
            data.header.flags |= flag::END;
            data.errno = errno;
        });
    }

    /// The next event is the first after some that were lost.
    pub(crate) fn lose_events(&mut self) {
        self.lost = true;
    }

    /// Bytes move, and nobody tells.
    pub(crate) fn lose(&mut self, conn: Conn, direction: Direction, bytes: u32) {
        let position = self.position(conn, direction);
        self.positions.insert((conn, direction), position.wrapping_add(bytes));
    }

    pub(crate) fn position(&self, conn: Conn, direction: Direction) -> u32 {
        self.positions.get(&(conn, direction)).copied().unwrap_or_else(|| base(conn))
    }

    pub(crate) fn log(&mut self, tid: Tid, text: &str) {
        let header = self.header(tid);
        self.log_event(header, 7, text);
    }

    pub(crate) fn log_event(&mut self, header: Header, ino: u64, text: &str) {
        let length = u32::try_from(text.len()).unwrap();
        self.event(&Event::Log(Log { header, ino, dev: 1, fd: 1, length, bytes: text.as_bytes() }));
        // Complete records come out without waiting for lines that could go on with them.
        self.tick(self.time + HOLD);
    }

    pub(crate) fn process(&mut self, tid: Tid, note: ProcessNote) {
        let event = ProcessEvent { header: self.header(tid), ..ProcessEvent::default() };
        self.event(&Event::Process(note, event));
    }

    /// A thread makes another.
    pub(crate) fn start_thread(&mut self, tid: Tid, child: Tid) {
        let child_start_ns = u64::from(child);
        let header = self.header(tid);
        let event = ProcessEvent {
            header,
            child_tgid: self.tgid,
            child_tid: child,
            child_start_ns,
            ..ProcessEvent::default()
        };
        self.event(&Event::Process(ProcessNote::ThreadStart, event));
    }

    pub(crate) fn tick(&mut self, time: u64) {
        self.pipeline.tick(time);
        self.telemetry.extend(self.pipeline.drain());
    }

    pub(crate) fn finish(&mut self) {
        self.pipeline.finish(self.time);
        self.telemetry.extend(self.pipeline.drain());
    }

    pub(crate) fn spans(&self) -> Vec<&Span> {
        let span = |told: &Telemetry| matches!(told.item, Item::Span(_));
        self.telemetry
            .iter()
            .filter(|told| span(told))
            .map(|told| match &told.item {
                Item::Span(span) => &**span,
                Item::Log(_) => unreachable!(),
            })
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.spans().iter().map(|span| span.description.name.as_str()).collect()
    }

    /// The one span with this name.
    #[track_caller]
    pub(crate) fn span(&self, name: &str) -> &Span {
        let found: Vec<_> = self.spans().into_iter().filter(|span| span.description.name == name).collect();
        assert_eq!(found.len(), 1, "spans named {name} among {:?}", self.names());
        found[0]
    }

    #[track_caller]
    pub(crate) fn assert_child(&self, child: &str, parent: &str) {
        let (child, parent) = (self.span(child), self.span(parent));
        assert_eq!(child.parent, Some(parent.span_id), "{child:?}");
        assert_eq!(child.trace_id, parent.trace_id);
        assert!(!child.remote_parent);
    }

    #[track_caller]
    pub(crate) fn assert_root(&self, name: &str) {
        let span = self.span(name);
        assert_eq!(span.parent, None, "{span:?}");
        let others = self.spans().into_iter().filter(|other| other.span_id != span.span_id);
        assert!(others.into_iter().all(|other| other.trace_id != span.trace_id), "{name} shares a trace");
    }

    #[track_caller]
    pub(crate) fn line(&self, text: &str) -> &LogRecord {
        let logs = self.telemetry.iter().filter_map(|told| match &told.item {
            Item::Log(record) => Some(&**record),
            Item::Span(_) => None,
        });
        let found: Vec<_> = logs.filter(|record| record.body == text).collect();
        assert_eq!(found.len(), 1, "lines that read {text}");
        found[0]
    }

    /// Asserts that a line has the ids of a span, or none.
    #[track_caller]
    pub(crate) fn assert_line(&self, text: &str, span: Option<&str>) {
        let ids =
            span.map(|name| self.span(name)).map(|span| (span.trace_id, Some(span.span_id), span.sampled));
        assert_eq!(self.line(text).context, ids, "{text}");
    }
}

/// An established TCP connection between 10.0.0.1:40000 (ours) and 10.0.0.2:80.
pub(crate) fn connection_event() -> ConnectionEvent {
    let address = |ip: Ipv4Addr| {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&ip.octets());
        address
    };
    ConnectionEvent {
        header: Header { flags: flag::SEQUENCE, ..Header::default() },
        sock: 0,
        ino: 0,
        peer_sock: 0,
        bytes_received: 0,
        rx_position: 0,
        tx_position: 0,
        rcv_nxt: 0,
        family: Family::Inet as u16,
        note: 0,
        state: 1,
        local_port: 40_000,
        remote_port: 80,
        how: 0,
        path_length: 0,
        path_is_peer: 0,
        padding: 0,
        local_address: address(Ipv4Addr::new(10, 0, 0, 1)),
        remote_address: address(Ipv4Addr::new(10, 0, 0, 2)),
        path: [0; 108],
        padding_end: [0; 4],
    }
}
