//! The environment while recording, and the one of a replay.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tracer_ebpf::{CgroupEvent, ProcessEvent, ProcessNote};

use super::answers::Answers;
use super::entry::{Entry, LogFile};
use super::recorder::Recorder;
use crate::correlate::telemetry_post::TelemetryPost;
use crate::enrich::Resource;
use crate::enrich::resource::{ProcessFacts, ResourceDefaults, describe};
use crate::event::Process;
use crate::pipeline::{Environment, Exports};
use crate::span::LogStream;

/// Resources whose numbers are remembered while recording; one that was forgotten gets a new one.
const MAX_RESOURCES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// An environment whose answers are recorded. All that is asked passes through.
pub struct Recorded<E> {
    inner: E,
    recorder: Recorder,
    answers: Answers,
    /// Numbers of resources, by address; each is kept alive, so that no other one gets its address.
    numbers: LruCache<usize, (u32, Arc<Resource>)>,
    next_number: u32,
}

impl<E: Environment> Recorded<E> {
    /// Records the answers of `inner`.
    pub fn new(inner: E, recorder: Recorder) -> Self {
        let numbers = LruCache::new(MAX_RESOURCES);
        Self { inner, recorder, answers: Answers::default(), numbers, next_number: 0 }
    }

    fn learn(&mut self, process: Process) -> (Arc<Resource>, Exports) {
        let answer = (self.inner.resource(process), self.inner.exports(process));
        if self.answers.note_process(process, &answer) {
            let resource = self.number(&answer.0);
            self.recorder.write(&Entry::Process { process, resource, exports: answer.1 });
        }
        answer
    }

    fn number(&mut self, resource: &Arc<Resource>) -> u32 {
        let address = Arc::as_ptr(resource).addr();
        if let Some((number, _)) = self.numbers.get(&address) {
            return *number;
        }
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        self.recorder.write(&Entry::Resource { number, resource: Resource::clone(resource) });
        self.numbers.put(address, (number, Arc::clone(resource)));
        number
    }
}

impl<E: Environment> Environment for Recorded<E> {
    fn resource(&mut self, process: Process) -> Arc<Resource> {
        self.learn(process).0
    }

    fn exports(&mut self, process: Process) -> Exports {
        self.learn(process).1
    }

    fn log_stream(&mut self, tgid: u32, device: u32, ino: u64, fd: u32) -> Option<LogStream> {
        let stream = self.inner.log_stream(tgid, device, ino, fd);
        let file = LogFile { tgid, device, ino, fd };
        if self.answers.note_log(file, stream) {
            self.recorder.write(&Entry::Log { file, stream });
        }
        stream
    }

    fn on_process(&mut self, note: ProcessNote, event: &ProcessEvent) {
        self.inner.on_process(note, event);
    }

    fn on_telemetry_post(&mut self, process: Process, post: TelemetryPost) {
        self.inner.on_telemetry_post(process, post);
    }

    fn on_cgroup(&mut self, event: &CgroupEvent) {
        self.inner.on_cgroup(event);
    }
}

/// The environment of a replay: answers what was answered when it was recorded.
#[derive(Clone, Debug)]
pub struct Replayed {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    answers: Answers,
    /// As many as the recorder numbers, and forgotten in the same order.
    resources: LruCache<u32, Arc<Resource>>,
    /// What a process is that was never told.
    unknown: Arc<Resource>,
}

impl Default for Replayed {
    fn default() -> Self {
        let unknown = describe(&ProcessFacts::default(), None, &ResourceDefaults::default());
        let resources = LruCache::new(MAX_RESOURCES);
        let state = State { answers: Answers::default(), resources, unknown: Arc::new(unknown) };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl Replayed {
    /// Takes an entry that is an answer. `false` for another one.
    pub fn learn(&self, entry: &Entry<'_>) -> bool {
        let mut state = self.lock();
        match entry {
            Entry::Resource { number, resource } => {
                state.resources.put(*number, Arc::new(resource.clone()));
            }
            Entry::Process { process, resource, exports } => {
                let known = state.resources.get(resource).cloned();
                let answer = (known.unwrap_or_else(|| Arc::clone(&state.unknown)), *exports);
                state.answers.note_process(*process, &answer);
            }
            Entry::Log { file, stream } => {
                state.answers.note_log(*file, *stream);
            }
            _ => return false,
        }
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere does not make the answers wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Environment for Replayed {
    fn resource(&mut self, process: Process) -> Arc<Resource> {
        let mut state = self.lock();
        match state.answers.processes.get(&process) {
            Some((resource, _)) => Arc::clone(resource),
            None => Arc::clone(&state.unknown),
        }
    }

    fn exports(&mut self, process: Process) -> Exports {
        self.lock().answers.processes.get(&process).map_or(Exports::ALL, |(_, exports)| *exports)
    }

    fn log_stream(&mut self, tgid: u32, device: u32, ino: u64, fd: u32) -> Option<LogStream> {
        let file = LogFile { tgid, device, ino, fd };
        self.lock().answers.logs.get(&file).copied().flatten()
    }

    fn on_process(&mut self, _: ProcessNote, _: &ProcessEvent) {}
}
