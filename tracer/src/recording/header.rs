//! The beginning of a recording.

use tracer_ebpf::event::WIRE_VERSION;
use tracer_ebpf::{CgroupEvent, ConnectionEvent, DataEvent, Header, ProcessEvent};

/// First bytes of a recording. Those behind the name are changed by what takes the file for text.
pub const MAGIC: [u8; 8] = *b"\x89trace\r\n";

/// Version of the format of entries.
pub const VERSION: u16 = 1;

/// Bytes of the header.
pub(super) const LENGTH: usize = 8 + 2 + 2 + 4 + 2 * SIZES.len();

/// Sizes of the events: they tell when the events of another tracer are others, even if nobody changed the version.
const SIZES: [usize; 5] = [
    size_of::<Header>(),
    size_of::<DataEvent>(),
    size_of::<ConnectionEvent>(),
    size_of::<ProcessEvent>(),
    size_of::<CgroupEvent>(),
];

/// Why a recording cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It ends within its header.
    #[error("the recording ends before its first entry")]
    Cut,
    /// Another version of entries.
    #[error(
        "the recording has version {0} of the format, and this tracer reads version {VERSION}: replay it with the \
         tracer that made it"
    )]
    Version(u16),
    /// Another version of events.
    #[error(
        "the recording holds events in a format (version {0}) that is not this tracer's (version {WIRE_VERSION}): \
         replay it with the tracer that made it"
    )]
    Wire(u32),
    /// The other byte order.
    #[error("the recording was made on a machine with the other byte order: replay it on such a machine")]
    ByteOrder,
}

/// Whether a file that begins so is a recording, of whatever version.
#[must_use]
pub fn is_recording(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// The header of a recording of this tracer.
pub(super) fn header() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    // As the machine has it.
    bytes.extend(1_u16.to_ne_bytes());
    bytes.extend(WIRE_VERSION.to_le_bytes());
    SIZES.iter().for_each(|size| bytes.extend((*size as u16).to_le_bytes()));
    bytes
}

/// Judges a header, of which the magic number was judged already.
pub(super) fn check(bytes: &[u8]) -> Result<(), RecordingError> {
    let ours = header();
    let field = |at: usize| bytes.get(at..)?.first_chunk::<2>();
    let version = field(8).ok_or(RecordingError::Cut)?;
    if *version != VERSION.to_le_bytes() {
        return Err(RecordingError::Version(u16::from_le_bytes(*version)));
    }
    if *field(10).ok_or(RecordingError::Cut)? != 1_u16.to_ne_bytes() {
        return Err(RecordingError::ByteOrder);
    }
    let wire = bytes.get(12..).and_then(|rest| rest.first_chunk()).ok_or(RecordingError::Cut)?;
    let sizes = bytes.get(16..LENGTH).ok_or(RecordingError::Cut)?;
    if ours.get(12..) == Some(&[&wire[..], sizes].concat()) {
        Ok(())
    } else {
        Err(RecordingError::Wire(u32::from_le_bytes(*wire)))
    }
}
