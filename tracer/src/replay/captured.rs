//! Plays a packet capture.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use tracer_ebpf::{ProcessEvent, ProcessNote};

use super::player::{Played, Player, Replay};
use crate::capture::{Capture, CaptureStats, CapturedEnd, FileEnd, Interest};
use crate::connection::table::MAX_CONNECTIONS;
use crate::enrich::Resource;
use crate::enrich::resource::{ProcessFacts, ResourceDefaults, describe};
use crate::event::{ConnectionId, Nanos, Process};
use crate::pipeline::{Environment, Pipeline, PipelineConfig};
use crate::probe::decode::Event;
use crate::protocol::{PROTOCOLS, Window};
use crate::span::LogStream;

/// Ends whose resource is remembered; one that was forgotten is described again.
const MAX_ENDS: NonZeroUsize = NonZeroUsize::new(MAX_CONNECTIONS).expect("not zero");

/// A capture and the pipeline behind it, without any export.
pub struct CaptureReplay<R> {
    capture: Capture<R>,
    pipeline: Pipeline,
    last: Nanos,
}

impl<R: Read> CaptureReplay<R> {
    /// A replay of a capture. `service_name` names all its ends; without one they are named by their addresses. `seed`
    /// makes ids.
    pub fn new(
        capture: Capture<R>,
        config: PipelineConfig,
        service_name: Option<String>,
        seed: [u8; 32],
    ) -> Self {
        let environment = Box::new(Ends::new(service_name));
        let mut pipeline = Pipeline::new(config, PROTOCOLS, environment, seed);
        // All times of a capture are of the wall clock.
        pipeline.set_wall_offset(0);
        Self { capture, pipeline, last: 0 }
    }

    /// The capture's counters so far.
    pub fn stats(&self) -> &CaptureStats {
        self.capture.stats()
    }
}

impl<R: Read> Replay for CaptureReplay<R> {
    type End = FileEnd;

    fn step(&mut self) -> io::Result<Option<Self::End>> {
        let Self { capture, pipeline, last } = self;
        capture.step(&mut |event: &Event<'_>| feed(pipeline, event, last))
    }

    fn finish(&mut self) {
        self.pipeline.finish(self.last);
    }

    fn pipeline(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }
}

pub(super) fn play<R: Read>(capture: Capture<R>, service_name: Option<String>, player: &Player) -> Played {
    let mut replay = CaptureReplay::new(capture, player.config.clone(), service_name, player.seed);
    let (end, mut played) = player.play(&mut replay);
    played.warnings.extend(end.and_then(warning));
    played.told = replay.stats().to_string();
    played
}

fn feed(pipeline: &mut Pipeline, event: &Event<'_>, last: &mut Nanos) -> Interest {
    *last = (*last).max(event.header().time_ns);
    pipeline.on_event(event);
    let of_event = match event {
        Event::Data(data) => Some(data.connection),
        Event::Connection(_, event) => Some(ConnectionId { sock: event.sock, ino: event.ino }),
        Event::Log(_) | Event::Process(..) | Event::Cgroup(_) => None,
    };
    let mut interest = Interest::Whole;
    for ask in pipeline.drain_asks() {
        if Some(ask.connection) == of_event && ask.window == Window::Nothing {
            interest = Interest::EndOnly;
        }
    }
    interest
}

fn warning(end: FileEnd) -> Option<String> {
    match end {
        FileEnd::Whole => None,
        FileEnd::Cut => Some("the capture ends in the middle of a packet, which is left out".to_owned()),
        FileEnd::Damaged => {
            Some("the capture is damaged: what follows its last readable packet is left out".to_owned())
        }
    }
}

/// What is known of the ends of captured connections: their addresses.
struct Ends {
    defaults: ResourceDefaults,
    known: LruCache<Process, Arc<Resource>>,
}

impl Ends {
    fn new(service_name: Option<String>) -> Self {
        // Where the capture was made is not known.
        let defaults = ResourceDefaults { service_name, ..ResourceDefaults::default() };
        Self { defaults, known: LruCache::new(MAX_ENDS) }
    }
}

impl Environment for Ends {
    fn resource(&mut self, process: Process) -> Arc<Resource> {
        let defaults = &self.defaults;
        let resource = self.known.get_or_insert(process, || {
            let program = Some(CapturedEnd::of(process).name());
            Arc::new(describe(&ProcessFacts { program, ..ProcessFacts::default() }, None, defaults))
        });
        Arc::clone(resource)
    }

    fn log_stream(&mut self, _: u32, _: u32, _: u64, _: u32) -> Option<LogStream> {
        None
    }

    fn on_process(&mut self, _: ProcessNote, _: &ProcessEvent) {}
}
