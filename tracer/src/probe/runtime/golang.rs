//! Go: where a thread keeps the goroutine that it runs.
//!
//! Goroutines move between threads whenever they wait, without a system call that says so. Each thread keeps the
//! running one's `g` in its own storage: on x86-64 in the last word before the thread pointer (Go's
//! `cmd/internal/obj/x86`), unless the executable was linked with C code that has such variables too; then its symbol
//! `runtime.tlsg` tells where. Whether the word leads to a `g` is looked at by the probe, at each call.

use std::fs::File;
use std::num::NonZeroUsize;

use lru::LruCache;
use object::elf::{PT_NOTE, PT_TLS, ProgramHeader64, STT_TLS};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, Object as _, ObjectSymbol as _};

use super::image::FileId;
use crate::enrich::process::Proc;

/// Executables of which it is remembered whether they are Go's.
const MAX_EXECUTABLES: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The build id's note (`cmd/link/internal/ld/elf.go`), which even a stripped executable has.
const NOTE_OWNER: &[u8] = b"Go";
const NOTE_BUILD_ID: u32 = 4;

/// Bytes of the word that holds the `g`.
const WORD: u64 = 8;

/// Where a Go program's threads keep the running goroutine: an offset from the thread pointer; 0 when that is not
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) i64);

/// What was read of executables.
#[derive(Debug)]
pub(super) struct Executables(LruCache<FileId, Option<Slot>>);

impl Default for Executables {
    fn default() -> Self {
        Self(LruCache::new(MAX_EXECUTABLES))
    }
}

impl Executables {
    /// The slot of a process; `None` if its executable is not Go's.
    pub(super) fn slot(&mut self, proc: &Proc, pid: u32) -> Option<Slot> {
        let file = File::open(proc.path(pid, "exe")).ok()?;
        let id = FileId::of(&file)?;
        *self.0.get_or_insert(id, || read(&ReadCache::new(file)))
    }
}

fn read<'data>(data: impl ReadRef<'data>) -> Option<Slot> {
    let elf = ElfFile64::<Endianness, _>::parse(data).ok()?;
    let (endian, headers) = (elf.endian(), elf.elf_program_headers());
    headers.iter().any(|header| is_build_id(header, endian, data)).then_some(())?;
    if elf.elf_header().e_machine(endian) != object::elf::EM_X86_64 {
        return Some(Slot(0));
    }
    let storage = headers.iter().find(|header| header.p_type(endian) == PT_TLS);
    let size = storage.map_or(WORD, |storage| storage.p_memsz(endian));
    if size <= WORD {
        return Some(Slot(-WORD.cast_signed()));
    }
    let align = storage.map_or(1, |storage| storage.p_align(endian)).max(1);
    let block = size.checked_next_multiple_of(align)?;
    let symbol = elf.symbols().find(|symbol| {
        symbol.name_bytes() == Ok(b"runtime.tlsg") && symbol.elf_symbol().st_type() == STT_TLS
    });
    Some(Slot(symbol.map_or(0, |symbol| symbol.address().wrapping_sub(block).cast_signed())))
}

fn is_build_id<'data>(
    header: &ProgramHeader64<Endianness>,
    endian: Endianness,
    data: impl ReadRef<'data>,
) -> bool {
    if header.p_type(endian) != PT_NOTE {
        return false;
    }
    let Ok(Some(mut notes)) = header.notes(endian, data) else { return false };
    std::iter::from_fn(|| notes.next().ok().flatten())
        .any(|note| note.name() == NOTE_OWNER && note.n_type(endian) == NOTE_BUILD_ID)
}
