//! What the environment answered, as of now.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use super::entry::LogFile;
use crate::enrich::Resource;
use crate::event::Process;
use crate::pipeline::Exports;
use crate::span::LogStream;

/// Processes whose answers are kept; one that was forgotten is told anew.
pub const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// Files whose answers are kept; one that was forgotten is told anew.
pub const MAX_LOGS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// What was answered for a process.
pub(super) type OfProcess = (Arc<Resource>, Exports);

/// The answers that were given last. The recorder and the replay ask them in the same order, so that both forget the
/// same ones.
#[derive(Debug)]
pub struct Answers {
    pub(super) processes: LruCache<Process, OfProcess>,
    pub(super) logs: LruCache<LogFile, Option<LogStream>>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { processes: LruCache::new(MAX_PROCESSES), logs: LruCache::new(MAX_LOGS) }
    }
}

impl Answers {
    /// Notes an answer. Whether it is another one than before.
    pub(super) fn note_process(&mut self, process: Process, answer: &OfProcess) -> bool {
        let known = self.processes.get(&process);
        let same =
            known.is_some_and(|(resource, exports)| Arc::ptr_eq(resource, &answer.0) && *exports == answer.1);
        if !same {
            self.processes.put(process, answer.clone());
        }
        !same
    }

    /// Notes an answer. Whether it is another one than before.
    pub(super) fn note_log(&mut self, file: LogFile, stream: Option<LogStream>) -> bool {
        let same = self.logs.get(&file) == Some(&stream);
        if !same {
            self.logs.put(file, stream);
        }
        !same
    }
}
