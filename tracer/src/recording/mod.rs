//! Recordings: what the pipeline took, as it took it, in a file of our own format.
//!
//! ```text
//! header  magic (8 bytes), version, byte order, wire version, sizes of the events
//! entry   kind (1 byte), length (4 bytes), so many bytes          … until the file ends
//! ```
//!
//! The entries are the ring buffer's records and all that the pipeline was told from outside: the wall clock's offset,
//! ticks, the answers of the [`Environment`](crate::pipeline::Environment). An answer stands before the entry that
//! made the pipeline ask. Numbers are little-endian; within ring records they are in the byte order of the machine.
//! A recording holds what the applications sent and received, secrets included: its file is for its owner only.

mod answers;
mod entry;
mod environment;
mod header;
mod reader;
mod recorder;
#[cfg(test)]
mod tests;

pub use self::answers::{Answers, MAX_LOGS, MAX_PROCESSES};
pub use self::entry::{Entry, LogFile, MAX_ENTRY};
pub use self::environment::{Recorded, Replayed};
pub use self::header::{MAGIC, RecordingError, VERSION, is_recording};
pub use self::reader::{Entries, RecordingEnd};
pub use self::recorder::{RecordError, Recorder};
