//! Reads a recording.

use std::io::{self, Read};

use super::entry::{Entry, FRAME, MAX_ENTRY};
use super::header::{self, RecordingError};
use crate::input::Input;

/// How a recording came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingEnd {
    /// After a whole entry.
    Whole,
    /// In the middle of an entry: whoever wrote it was killed.
    Cut,
    /// An entry is none: what follows cannot be found.
    Damaged,
}

/// The entries of a recording, one after the other.
#[derive(Debug)]
pub struct Entries<R> {
    input: Input<R>,
    /// Bytes of the entry that was lent last.
    lent: usize,
    end: Option<RecordingEnd>,
}

impl<R: Read> Entries<R> {
    /// Reads the header of a file that [`is_recording`](super::is_recording).
    ///
    /// # Errors
    /// When this tracer cannot replay it (the inner result), or it cannot be read.
    pub fn open(source: R) -> io::Result<Result<Self, RecordingError>> {
        let mut input = Input::new(source);
        let start = input.peek(header::LENGTH)?;
        Ok(header::check(start).map(|()| Self { input, lent: header::LENGTH, end: None }))
    }

    /// The next entry, or how the recording ended. (Not an iterator: an entry is lent from the buffer.)
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn next_entry(&mut self) -> io::Result<Result<Entry<'_>, RecordingEnd>> {
        self.input.consume(std::mem::take(&mut self.lent));
        if let Some(end) = self.end {
            return Ok(Err(end));
        }
        let frame = self.input.peek(FRAME)?;
        let Some([kind, length @ ..]) = frame.first_chunk::<FRAME>().copied() else {
            let end = if frame.is_empty() { RecordingEnd::Whole } else { RecordingEnd::Cut };
            return Ok(Err(*self.end.insert(end)));
        };
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_ENTRY {
            return Ok(Err(*self.end.insert(RecordingEnd::Damaged)));
        }
        let Some(bytes) = self.input.peek(FRAME + length)?.get(FRAME..FRAME + length) else {
            return Ok(Err(*self.end.insert(RecordingEnd::Cut)));
        };
        match Entry::read(kind, bytes) {
            Some(entry) => {
                self.lent = FRAME + length;
                Ok(Ok(entry))
            }
            None => Ok(Err(*self.end.insert(RecordingEnd::Damaged))),
        }
    }
}
