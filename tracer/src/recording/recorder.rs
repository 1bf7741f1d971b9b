//! Writes a recording.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use super::entry::{Entry, FRAME};
use super::header;
use crate::event::Nanos;

/// Bytes that are written to the file at once.
const BUFFER: usize = 256 << 10;

/// How long an entry may wait in the buffer, in nanoseconds: so much is lost when the tracer is killed.
const FLUSH_PERIOD: Nanos = 200_000_000;

/// How long after the last event every tick is recorded, because lines and connections may wait for one.
const BUSY: Nanos = 10_000_000_000;

/// How often ticks are recorded when nothing happens.
const IDLE_PERIOD: Nanos = 1_000_000_000;

/// Only the owner reads and writes: it holds what applications sent, secrets included.
const MODE: u32 = 0o600;

/// A recording cannot be begun.
#[derive(Debug, thiserror::Error)]
#[error("the recording {} cannot be written", path.display())]
pub struct RecordError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes a recording, from several places of one thread, and its end from another. A file that cannot be written any
/// more ends the recording, with a warning, and nothing else.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Mutex<Writer>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    /// `None` when the recording has ended.
    file: Option<BufWriter<File>>,
    /// Bytes so far, header included.
    written: u64,
    max: u64,
    scratch: Vec<u8>,
    flush_due: Nanos,
    last_event: Nanos,
    last_tick: Nanos,
    /// A record came since the last tick.
    has_event: bool,
}

impl Recorder {
    /// Begins a recording of at most `max` bytes in a file, which is emptied if there is one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, max: Option<u64>) -> Result<Self, RecordError> {
        let failed = |source| RecordError { path: path.to_owned(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path);
        let file = file.map_err(failed)?;
        // The mode above counts only for a new file.
        file.set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
        let mut file = BufWriter::with_capacity(BUFFER, file);
        let header = header::header();
        file.write_all(&header).and_then(|()| file.flush()).map_err(failed)?;
        Ok(Self(Arc::new(Mutex::new(Writer {
            path: path.to_owned(),
            file: Some(file),
            written: header.len() as u64,
            max: max.unwrap_or(u64::MAX),
            scratch: Vec::new(),
            flush_due: 0,
            last_event: 0,
            last_tick: 0,
            has_event: false,
        }))))
    }

    /// Writes an entry.
    pub fn write(&self, entry: &Entry<'_>) {
        self.lock().write(entry);
    }

    /// Writes a record of the ring buffer, which may be longer than the event in it.
    pub fn record(&self, record: &[u8]) {
        let size = record.get(4..).and_then(|rest| rest.first_chunk().copied()).map(u32::from_ne_bytes);
        let event = size.and_then(|size| record.get(..usize::try_from(size).ok()?));
        let mut writer = self.lock();
        writer.has_event = true;
        writer.write(&Entry::Record(event.unwrap_or(record)));
    }

    /// Writes a tick, unless nothing can wait for it; and what waits in the buffer.
    pub fn tick(&self, now: Nanos) {
        self.lock().tick(now);
    }

    /// Writes the end.
    pub fn finish(&self, losses: &[(&'static str, u64)]) {
        let losses = losses.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        let mut writer = self.lock();
        writer.write(&Entry::Losses(losses));
        writer.flush();
        if writer.file.take().is_some() {
            info!("recorded {} bytes in {}", writer.written, writer.path.display());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic elsewhere does not make the file wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn write(&mut self, entry: &Entry<'_>) {
        if self.file.is_none() {
            return;
        }
        self.scratch.clear();
        entry.write(&mut self.scratch);
        let length = self.scratch.len() as u64;
        // There must be room for the entry that says that there is no more.
        let is_full = self.written.saturating_add(length + FRAME as u64) > self.max;
        if is_full {
            self.scratch.clear();
            Entry::Full.write(&mut self.scratch);
        }
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&self.scratch));
        self.written = self.written.saturating_add(self.scratch.len() as u64);
        self.check(written);
        if is_full {
            self.flush();
            if self.file.take().is_some() {
                warn!(
                    "the recording {} has its largest size (--record-max): it ends, and tracing goes on",
                    self.path.display()
                );
            }
        }
    }

    fn tick(&mut self, now: Nanos) {
        if std::mem::take(&mut self.has_event) {
            self.last_event = now;
        }
        if now.saturating_sub(self.last_event) <= BUSY || now >= self.last_tick.saturating_add(IDLE_PERIOD) {
            self.last_tick = now;
            self.write(&Entry::Tick(now));
        }
        if now >= self.flush_due {
            self.flush_due = now.saturating_add(FLUSH_PERIOD);
            self.flush();
        }
    }

    fn flush(&mut self) {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        self.check(flushed);
    }

    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.file = None;
            warn!(
                "the recording {} cannot be continued: {error}; it ends, and tracing goes on",
                self.path.display()
            );
        }
    }
}
