//! The whole pipeline, from records of the ring buffer to telemetry.
//!
//! Checked: everything that begins ends, nothing is left in the tables, no span ends before it starts.

use std::collections::HashMap;
use std::sync::Arc;

use tracer::enrich::Resource;
use tracer::event::{Process, Side};
use tracer::export::Item;
use tracer::pipeline::{Environment, Limits, Pipeline, PipelineConfig};
use tracer::protocol::PROTOCOLS;
use tracer::span::LogStream;
use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionNote, Direction, EventKind, Header, ProcessEvent, ProcessNote};

use crate::recordings;
use crate::steps::{self, Step};

pub mod encode;

use encode::{Moved, Note};

/// Few, so that the tables' bounds are met.
pub(crate) const LIMITS: Limits = Limits { connections: 3, threads: 2 };

struct World;

impl Environment for World {
    fn resource(&mut self, _: Process) -> Arc<Resource> {
        Arc::default()
    }

    fn log_stream(&mut self, _: u32, _: u32, ino: u64, fd: u32) -> Option<LogStream> {
        (ino != 0).then_some(if fd == 2 { LogStream::Stderr } else { LogStream::Stdout })
    }

    fn on_process(&mut self, _: ProcessNote, _: &ProcessEvent) {}
}

fn pipeline() -> Pipeline {
    let config = PipelineConfig { limits: LIMITS, ..PipelineConfig::default() };
    Pipeline::new(config, PROTOCOLS, Box::new(World), [7; 32])
}

/// Takes what has come out.
pub(crate) fn drain(pipeline: &mut Pipeline) {
    for telemetry in pipeline.drain() {
        if let Item::Span(span) = telemetry.item {
            assert!(span.start_unix_ns <= span.end_unix_ns, "{span:?}");
            let first = span.first_byte_unix_ns.unwrap_or(span.end_unix_ns);
            assert!((span.start_unix_ns..=span.end_unix_ns).contains(&first), "{span:?}");
        }
    }
    pipeline.drain_asks();
}

fn finish(mut pipeline: Pipeline, now: u64) {
    pipeline.finish(now);
    check_finished(&mut pipeline);
}

/// Nothing is left of a pipeline that has been finished.
pub(crate) fn check_finished(pipeline: &mut Pipeline) {
    drain(pipeline);
    let stats = pipeline.stats();
    let spans = &stats.spans;
    assert_eq!((spans.unknown_exchange, spans.abandoned_unfinished), (0, 0));
    let begun = spans.server_begun + spans.client_begun;
    assert_eq!(begun, spans.server_ended + spans.client_ended + spans.abandoned(), "{spans:?}");
    let tables = &stats.tables;
    assert_eq!((tables.connections, tables.bindings, tables.contexts), (0, 0, 0));
    assert!(tables.threads <= LIMITS.threads as u64);
}

/// Any records: each step's text is one.
pub(crate) fn raw(input: &[u8]) {
    let mut pipeline = pipeline();
    for step in steps::read(input) {
        pipeline.on_record(&step.text);
        drain(&mut pipeline);
    }
    finish(pipeline, u64::MAX);
}

/// Records of a few connections and threads. Bits 0 to 3 of a step's operation say what happens, 4 and 5 on which
/// connection, 6 and 7 on which thread.
pub(crate) fn events(input: &[u8]) {
    let mut stage = Stage {
        pipeline: pipeline(),
        time: 1000,
        positions: HashMap::new(),
        inodes: [1; 4],
        epoch: 3,
        lost: false,
    };
    for step in steps::read(input) {
        stage.take(&step);
        drain(&mut stage.pipeline);
    }
    finish(stage.pipeline, stage.time);
}

mod operation {
    pub(super) const RECEIVED: u8 = 0;
    pub(super) const SENT: u8 = 1;
    pub(super) const RECEIVED_CUT: u8 = 2;
    pub(super) const SENT_CUT: u8 = 3;
    pub(super) const LOST: u8 = 4;
    pub(super) const ACCEPT: u8 = 5;
    pub(super) const CONNECT: u8 = 6;
    pub(super) const OTHER_NOTE: u8 = 7;
    pub(super) const END: u8 = 8;
    pub(super) const ANEW: u8 = 9;
    pub(super) const WAIT: u8 = 10;
    pub(super) const TICK: u8 = 11;
    pub(super) const LOG: u8 = 12;
    pub(super) const EXIT: u8 = 13;
    pub(super) const EVENTS_LOST: u8 = 14;
    pub(super) const MOVED: u8 = 15;
}

struct Stage {
    pipeline: Pipeline,
    time: u64,
    /// Where each direction of each socket stands.
    positions: HashMap<(u64, u8), u32>,
    inodes: [u64; 4],
    epoch: u32,
    lost: bool,
}

impl Stage {
    fn take(&mut self, step: &Step) {
        let sock = u64::from(step.operation >> 4 & 3);
        let tid = 1 + u32::from(step.operation >> 6);
        let (number, rest) = step.number::<2>();
        let text = &step.text;
        match step.operation & 15 {
            operation::RECEIVED => self.moved(tid, sock, Direction::Ingress, text, 0),
            operation::SENT => self.moved(tid, sock, Direction::Egress, text, 0),
            operation::RECEIVED_CUT => self.moved(tid, sock, Direction::Ingress, rest, number as u32),
            operation::SENT_CUT => self.moved(tid, sock, Direction::Egress, rest, number as u32),
            operation::LOST => self.step_on(sock, (number & 1) as u8, (number >> 1) as u32),
            operation::ACCEPT => self.note(tid, sock, ConnectionNote::Accept, 0),
            operation::CONNECT => self.note(tid, sock, ConnectionNote::Connect, 0),
            operation::OTHER_NOTE => {
                let note = match number % 4 {
                    0 => ConnectionNote::Seen,
                    1 => ConnectionNote::Closed,
                    2 => ConnectionNote::Established,
                    _ => ConnectionNote::Shutdown,
                };
                self.note(tid, sock, note, (number >> 2 & 3) as u8);
            }
            operation::END => {
                let direction = if number & 1 == 0 { Direction::Ingress } else { Direction::Egress };
                self.data(
                    tid,
                    sock,
                    Moved { direction, errno: (number >> 1) as u16, end: true, ..Moved::default() },
                );
            }
            operation::ANEW => self.inodes[sock as usize] += 1,
            operation::WAIT => self.epoch += 1,
            operation::TICK => {
                self.time += number << 16;
                self.pipeline.tick(self.time);
            }
            operation::LOG => {
                let header = self.header(tid, EventKind::Log);
                self.pipeline.on_record(&encode::log(
                    header,
                    1,
                    1 + u64::from(step.operation >> 4 & 1),
                    text,
                ));
            }
            operation::EXIT => {
                let header = self.header(tid, EventKind::Process);
                self.pipeline.on_record(&encode::process(header, ProcessNote::ThreadExit));
            }
            operation::EVENTS_LOST => self.lost = true,
            operation::MOVED => self.step_on(sock, (number & 1) as u8, u32::MAX - (number >> 1) as u32),
            _ => {}
        }
    }

    fn header(&mut self, tid: u32, kind: EventKind) -> Header {
        self.time += 10;
        Header {
            kind: kind as u16,
            flags: if std::mem::take(&mut self.lost) { flag::LOST } else { 0 },
            size: 0,
            time_ns: self.time,
            tgid: 100,
            tid,
            thread_start_ns: u64::from(tid),
            process_start_ns: 1,
            cgroup_id: 55,
            wait_epoch: self.epoch,
            mux_epoch: self.epoch,
            // Contexts take turns, some of them of nothing.
            context: u64::from(self.epoch % 3),
            waiters: [u64::from(self.epoch % 2), 0, 0],
        }
    }

    fn step_on(&mut self, sock: u64, direction: u8, by: u32) {
        let position = self.positions.entry((sock, direction)).or_insert(0xffff_fff0);
        *position = position.wrapping_add(by);
    }

    fn moved(&mut self, tid: u32, sock: u64, direction: Direction, text: &[u8], missing: u32) {
        let tail = if missing > 0 { text.len() / 2 } else { 0 };
        let (head, tail) = text.split_at(text.len() - tail);
        self.data(tid, sock, Moved { direction, head, tail, missing, ..Moved::default() });
    }

    fn data(&mut self, tid: u32, sock: u64, moved: Moved<'_>) {
        let mut header = self.header(tid, EventKind::Data);
        header.flags |= flag::SEQUENCE | if moved.end { flag::END } else { 0 };
        let direction = moved.direction as u8;
        let position = self.positions.get(&(sock, direction)).copied().unwrap_or(0xffff_fff0);
        let ino = self.inodes[sock as usize];
        self.pipeline.on_record(&encode::data(header, 1 + sock, ino, position.into(), &moved));
        self.step_on(sock, direction, moved.length());
    }

    fn note(&mut self, tid: u32, sock: u64, note: ConnectionNote, how: u8) {
        let mut header = self.header(tid, EventKind::Connection);
        header.flags |= flag::SEQUENCE;
        let at = |direction| self.positions.get(&(sock, direction)).copied().unwrap_or(0xffff_fff0);
        let told = Note { note, how, rx: at(0), tx: at(1) };
        self.pipeline.on_record(&encode::connection(header, 1 + sock, self.inodes[sock as usize], &told));
    }
}

/// Each conversation on a connection of its own, with log lines between.
pub(crate) fn event_seeds() -> Vec<Vec<u8>> {
    let conversations = recordings::all();
    let seed = |(number, calls): (usize, &recordings::Calls)| {
        let server = number.is_multiple_of(2);
        let place = ((number % 4) as u8) << 4;
        let open = if server { operation::ACCEPT } else { operation::CONNECT };
        let mut steps = vec![Step::new(place | open, [])];
        for (side, bytes) in calls {
            let operation =
                if (*side == Side::Request) == server { operation::RECEIVED } else { operation::SENT };
            steps.push(Step::new(place | operation, bytes.clone()));
        }
        steps.push(Step::new(place | operation::LOG, *b"ERROR a line\n"));
        steps.push(Step::new(place | operation::OTHER_NOTE, [1]));
        steps::write(&steps)
    };
    conversations.iter().enumerate().map(seed).collect()
}

/// The records of one short conversation.
pub(crate) fn raw_seeds() -> Vec<Vec<u8>> {
    let mut time = 0;
    let mut header = |kind: EventKind| {
        time += 10;
        Header {
            kind: kind as u16,
            flags: flag::SEQUENCE,
            time_ns: time,
            tgid: 9,
            tid: 9,
            ..Header::default()
        }
    };
    let request = Moved { head: b"GET /a HTTP/1.1\r\n\r\n", ..Moved::default() };
    let response = Moved {
        direction: Direction::Egress,
        head: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        tail: b"yz",
        missing: 5,
        ..Moved::default()
    };
    let note = |note| Note { note, how: 1, rx: 5, tx: 7 };
    let records = [
        encode::connection(header(EventKind::Connection), 1, 1, &note(ConnectionNote::Accept)),
        encode::data(header(EventKind::Data), 1, 1, 5, &request),
        encode::log(header(EventKind::Log), 3, 4, b"a line\n"),
        encode::data(header(EventKind::Data), 1, 1, 7, &response),
        encode::process(header(EventKind::Process), ProcessNote::Fork),
        encode::connection(header(EventKind::Connection), 1, 1, &note(ConnectionNote::Closed)),
    ];
    let steps: Vec<Step> = records.iter().map(|record| Step::new(1, record.clone())).collect();
    steps.iter().map(|step| steps::write(std::slice::from_ref(step))).chain([steps::write(&steps)]).collect()
}
