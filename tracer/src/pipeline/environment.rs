//! What the pipeline asks of the world outside, which it cannot see itself.

use std::sync::Arc;

use tracer_ebpf::{CgroupEvent, ProcessEvent, ProcessNote};

use crate::correlate::telemetry_post::TelemetryPost;
use crate::enrich::Resource;
use crate::event::Process;
use crate::span::LogStream;

/// What is exported of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exports {
    /// Its spans.
    pub spans: bool,
    /// Its log lines.
    pub logs: bool,
}

impl Exports {
    /// Spans and log lines: the ordinary case.
    pub const ALL: Self = Self { spans: true, logs: true };
}

/// The world outside: processes and their descriptors.
/// A new question belongs into `recording::Recorded` and `Replayed` too, or a replay will not know the answer.
pub trait Environment: Send {
    /// The resource of a process. Asked when the process is first seen, while it surely lives, and for everything
    /// that is exported: answers are expected to be remembered.
    fn resource(&mut self, process: Process) -> Arc<Resource>;

    /// What is exported of a process: less than all of one that exports by itself. Asked like [`Self::resource`].
    fn exports(&mut self, _process: Process) -> Exports {
        Exports::ALL
    }

    /// Which of a process's log streams the file is that it wrote to as descriptor `fd`; `None` when it is not a
    /// log. `device` is in the kernel's encoding (major << 20 | minor).
    fn log_stream(&mut self, tgid: u32, device: u32, ino: u64, fd: u32) -> Option<LogStream>;

    /// A process or thread started or ended.
    fn on_process(&mut self, note: ProcessNote, event: &ProcessEvent);

    /// A process posted or took telemetry by itself.
    fn on_telemetry_post(&mut self, _process: Process, _post: TelemetryPost) {}

    /// A cgroup was made or removed below a selected one.
    fn on_cgroup(&mut self, _event: &CgroupEvent) {}
}
