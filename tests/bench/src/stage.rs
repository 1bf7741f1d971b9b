//! Records of the ring buffer for the pipeline under measurement.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use fuzz::records::encode::{self, Moved, Note};
use tracer::enrich::Resource;
use tracer::event::{Process, Role, Side};
use tracer::export::Telemetry;
use tracer::pipeline::{Environment, Pipeline, PipelineConfig};
use tracer::protocol::PROTOCOLS;
use tracer::span::{Attribute, LogStream};
use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionNote, Direction, EventKind, Header, ProcessEvent, ProcessNote};

/// One process, whose resource is known.
struct World(Arc<Resource>);

impl Environment for World {
    fn resource(&mut self, _: Process) -> Arc<Resource> {
        Arc::clone(&self.0)
    }

    fn log_stream(&mut self, _: u32, _: u32, _: u64, _: u32) -> Option<LogStream> {
        Some(LogStream::Stdout)
    }

    fn on_process(&mut self, _: ProcessNote, _: &ProcessEvent) {}
}

/// A pipeline as the agent runs it by default.
pub(crate) fn pipeline() -> Pipeline {
    let resource = Resource { attributes: vec![Attribute::new("service.name", "bench")] };
    Pipeline::new(PipelineConfig::default(), PROTOCOLS, Box::new(World(Arc::new(resource))), [7; 32])
}

/// Records, one after another.
#[derive(Debug, Default)]
pub(crate) struct Records {
    records: Vec<Vec<u8>>,
    /// Bytes that moved on sockets.
    pub(crate) bytes: u64,
    time: u64,
    positions: HashMap<(u64, u8), u32>,
}

impl Records {
    /// A connection begins.
    pub(crate) fn open(&mut self, sock: u64, role: Role) {
        let header = self.header(sock, EventKind::Connection);
        let note = match role {
            Role::Server => ConnectionNote::Accept,
            Role::Client => ConnectionNote::Connect,
        };
        // As the kernel's are, the numbers are everywhere else: they tell one connection from another.
        let (rx, tx) = (Self::beginning(sock, Direction::Ingress), Self::beginning(sock, Direction::Egress));
        self.records.push(encode::connection(header, sock, sock, &Note { note, how: 0, rx, tx }));
    }

    /// The sequence number of a direction's first byte.
    fn beginning(sock: u64, direction: Direction) -> u32 {
        const ODD: u32 = 0x9e37_79b1;
        (2 * sock as u32 + direction as u32).wrapping_mul(ODD)
    }

    /// A call moves bytes, by the connection's own thread.
    pub(crate) fn call(&mut self, sock: u64, role: Role, side: Side, bytes: &[u8]) {
        self.call_by(sock, sock, role, side, bytes);
    }

    /// A call of this thread moves bytes.
    pub(crate) fn call_by(&mut self, thread: u64, sock: u64, role: Role, side: Side, bytes: &[u8]) {
        let ingress = (role == Role::Server) == (side == Side::Request);
        let direction = if ingress { Direction::Ingress } else { Direction::Egress };
        let header = self.header(thread, EventKind::Data);
        let first = || Self::beginning(sock, direction);
        let position = self.positions.entry((sock, direction as u8)).or_insert_with(first);
        let moved = Moved { direction, head: bytes, ..Moved::default() };
        self.records.push(encode::data(header, sock, sock, u64::from(*position), &moved));
        *position = position.wrapping_add(bytes.len() as u32);
        self.bytes += bytes.len() as u64;
    }

    /// A write to a log.
    pub(crate) fn log(&mut self, text: &[u8]) {
        let header = self.header(1, EventKind::Log);
        self.records.push(encode::log(header, 1, 7, text));
        self.bytes += text.len() as u64;
    }

    fn header(&mut self, thread: u64, kind: EventKind) -> Header {
        self.time += 5000;
        Header {
            kind: kind as u16,
            flags: flag::SEQUENCE,
            size: 0,
            time_ns: self.time,
            tgid: 100,
            tid: 100 + thread as u32,
            thread_start_ns: 1,
            process_start_ns: 1,
            cgroup_id: 1,
            wait_epoch: 1,
            mux_epoch: 1,
            ..Header::default()
        }
    }

    /// Lets the pipeline take all of them. What comes out is taken and dropped, as an exporter's queue would.
    pub(crate) fn feed(&self, pipeline: &mut Pipeline) {
        for batch in self.records.chunks(64) {
            for record in batch {
                pipeline.on_record(black_box(record));
            }
            pipeline.drain().for_each(|telemetry| drop(black_box(telemetry)));
        }
        pipeline.drain_asks();
    }

    /// Lets everything that still waits be told.
    pub(crate) fn finish(&self, pipeline: &mut Pipeline) {
        pipeline.finish(self.time);
        pipeline.drain().for_each(|telemetry| drop(black_box(telemetry)));
    }

    /// What the pipeline makes of all of them.
    pub(crate) fn told(&self) -> Vec<Telemetry> {
        let mut pipeline = pipeline();
        self.records.iter().for_each(|record| pipeline.on_record(record));
        pipeline.finish(self.time);
        pipeline.drain().collect()
    }
}
