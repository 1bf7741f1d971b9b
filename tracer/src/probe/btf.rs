//! The kernel's own description of its structures: a reader of BTF, as far as member offsets need it.
//!
//! Format: Documentation/bpf/btf.rst. Nothing in the bytes is trusted: every access is checked.

use std::collections::HashMap;

use thiserror::Error;

/// Nesting of anonymous structures that is followed; the kernel has two or three levels.
const MAX_NESTING: u32 = 16;
/// Modifiers (const, volatile, typedef …) between a member and its structure.
const MAX_MODIFIERS: u32 = 32;

/// Why BTF could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BtfError {
    /// The bytes are not BTF, or of another byte order or version.
    #[error("the kernel's type information (BTF) has an unknown format: {0}")]
    Format(&'static str),
    /// A structure is not described.
    #[error("the kernel's type information (BTF) does not describe `struct {0}`")]
    NoStruct(String),
    /// A structure has no such member.
    #[error("the kernel's type information (BTF) has no member `{1}` in `struct {0}`")]
    NoMember(String, String),
}

/// A parsed BTF blob.
pub struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Byte offset of each type, by id; 0 stands for void.
    types: Vec<usize>,
    /// Ids of structures by name.
    structs: HashMap<Vec<u8>, u32>,
}

struct Type {
    name: u32,
    kind: u8,
    flag: bool,
    members: usize,
    refers: u32,
    at: usize,
}

const KIND_ARRAY: u8 = 3;
const KIND_STRUCT: u8 = 4;
const KIND_UNION: u8 = 5;

impl Btf {
    /// Indexes the blob, as found in `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// When the bytes are not BTF of version 1 in this machine's byte order, or are cut short.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let mut btf = Self { bytes, strings: 0, types: vec![0], structs: HashMap::new() };
        if btf.u16(0) != Some(0xeb9f) {
            return Err(BtfError::Format("the magic number is missing"));
        }
        if btf.bytes.get(2) != Some(&1) {
            return Err(BtfError::Format("the version is not 1"));
        }
        let field =
            |at| btf.u32(at).map(|value| value as usize).ok_or(BtfError::Format("the header is cut short"));
        let (header, types, types_length, strings) = (field(4)?, field(8)?, field(12)?, field(16)?);
        btf.strings = header.saturating_add(strings);
        btf.index(header.saturating_add(types), types_length)?;
        Ok(btf)
    }

    /// Offset in bytes of a member, also inside anonymous structures and unions. `member` may be a path:
    /// `thread_info.status`.
    ///
    /// # Errors
    /// When the structure or the member is not there.
    pub fn offset(&self, structure: &str, member: &str) -> Result<u32, BtfError> {
        let id = *self
            .structs
            .get(structure.as_bytes())
            .ok_or_else(|| BtfError::NoStruct(structure.to_owned()))?;
        let mut offset = 0;
        let mut current = Some(id);
        for name in member.split('.') {
            let found = current.and_then(|id| self.member(id, name.as_bytes(), MAX_NESTING));
            let (bits, next) =
                found.ok_or_else(|| BtfError::NoMember(structure.to_owned(), member.to_owned()))?;
            offset += bits / 8;
            current = self.aggregate(next);
        }
        Ok(offset)
    }

    /// Walks all types once, recording where they are.
    fn index(&mut self, start: usize, length: usize) -> Result<(), BtfError> {
        let end = start.saturating_add(length);
        let mut at = start;
        while at < end {
            let entry = self.read_type(at).ok_or(BtfError::Format("a type is cut short"))?;
            if entry.kind == KIND_STRUCT {
                let name = self.name(entry.name).to_vec();
                // The first of several structures with one name is the kernel's own.
                let id = self.types.len() as u32;
                self.structs.entry(name).or_insert(id);
            }
            self.types.push(at);
            at = at
                + 12
                + trailing(entry.kind, entry.members).ok_or(BtfError::Format("a type is of unknown kind"))?;
        }
        Ok(())
    }

    fn read_type(&self, at: usize) -> Option<Type> {
        let (name, info, refers) = (self.u32(at)?, self.u32(at + 4)?, self.u32(at + 8)?);
        Some(Type {
            name,
            kind: (info >> 24 & 0x1f) as u8,
            flag: info >> 31 == 1,
            members: (info & 0xffff) as usize,
            refers,
            at,
        })
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        self.types.get(id as usize).filter(|at| **at != 0).and_then(|at| self.read_type(*at))
    }

    /// Bit offset and type of a member.
    fn member(&self, id: u32, name: &[u8], nesting: u32) -> Option<(u32, u32)> {
        let structure = self.by_id(id)?;
        for index in 0..structure.members {
            let at = structure.at + 12 + index * 12;
            let (member_name, member_type, raw) = (self.u32(at)?, self.u32(at + 4)?, self.u32(at + 8)?);
            let bits = if structure.flag { raw & 0x00ff_ffff } else { raw };
            let found = self.name(member_name);
            if found == name {
                return Some((bits, member_type));
            }
            if found.is_empty()
                && nesting > 0
                && let Some(inner) = self.aggregate(member_type)
                && let Some((inner_bits, inner_type)) = self.member(inner, name, nesting - 1)
            {
                return Some((bits + inner_bits, inner_type));
            }
        }
        None
    }

    /// The structure or union that a type is, behind modifiers and arrays.
    fn aggregate(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_MODIFIERS {
            let entry = self.by_id(id)?;
            id = match entry.kind {
                KIND_STRUCT | KIND_UNION => return Some(id),
                // typedef, volatile, const, restrict, type tag
                8..=11 | 18 => entry.refers,
                KIND_ARRAY => self.u32(entry.at + 12)?,
                _ => return None,
            };
        }
        None
    }

    fn name(&self, offset: u32) -> &[u8] {
        let rest = self.bytes.get(self.strings.saturating_add(offset as usize)..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(self.bytes.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }
}

/// Bytes after the common part of a type, by kind and number of members.
fn trailing(kind: u8, members: usize) -> Option<usize> {
    Some(match kind {
        // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        // integer, variable, declaration tag
        1 | 14 | 17 => 4,
        KIND_ARRAY => 12,
        // structures, unions, data sections, 64-bit enumerations
        KIND_STRUCT | KIND_UNION | 15 | 19 => members * 12,
        // enumerations, function prototypes
        6 | 13 => members * 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(out: &mut Vec<u8>, value: u32) {
        out.extend(value.to_ne_bytes());
    }

    /// `struct outer { int a; union { const struct inner b; }; struct inner c[2]; }`, `struct inner { int x; int y; }`
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0inner\0x\0y\0c\0";
        let at = |name: &str| {
            let needle = format!("\0{name}\0");
            strings.windows(needle.len()).position(|w| w == needle.as_bytes()).map(|p| p as u32 + 1).unwrap()
        };
        let mut types = Vec::new();
        let mut entry = |name, kind: u32, members: u32, refers, rest: &[u32]| {
            for value in [name, kind << 24 | members, refers].iter().chain(rest) {
                word(&mut types, *value);
            }
        };
        entry(0, 1, 0, 4, &[32]); // 1: int
        entry(at("inner"), 4, 2, 8, &[at("x"), 1, 0, at("y"), 1, 32]); // 2
        entry(0, 10, 0, 2, &[]); // 3: const inner
        entry(0, 5, 1, 8, &[at("inner"), 3, 0]); // 4: union { const inner inner; }
        entry(0, 3, 0, 0, &[2, 1, 2]); // 5: inner[2]
        entry(at("outer"), 4, 3, 28, &[at("a"), 1, 0, 0, 4, 32, at("c"), 5, 96]); // 6
        let mut blob = Vec::new();
        blob.extend(0xeb9f_u16.to_ne_bytes());
        blob.extend([1, 0]);
        for value in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            word(&mut blob, value);
        }
        blob.extend(types);
        blob.extend(strings);
        blob
    }

    #[test]
    fn finds_members_through_anonymous_unions_modifiers_and_arrays() {
        let btf = Btf::parse(sample()).unwrap();
        assert_eq!(btf.offset("outer", "a"), Ok(0));
        assert_eq!(btf.offset("outer", "inner.y"), Ok(8));
        assert_eq!(btf.offset("outer", "c.y"), Ok(16));
        assert_eq!(btf.offset("nowhere", "a"), Err(BtfError::NoStruct("nowhere".into())));
        assert_eq!(btf.offset("outer", "z"), Err(BtfError::NoMember("outer".into(), "z".into())));
    }

    #[test]
    fn every_cut_is_an_error_or_an_absence_never_a_panic() {
        let whole = sample();
        for length in 0..whole.len() {
            if let Ok(btf) = Btf::parse(whole[..length].to_vec()) {
                let _ = btf.offset("outer", "c.y");
            }
        }
    }

    #[test]
    fn reads_the_running_kernel_where_it_has_btf() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            return;
        };
        let btf = Btf::parse(bytes).unwrap();
        assert_eq!(btf.offset("sock", "__sk_common.skc_daddr"), Ok(0));
        assert!(btf.offset("task_struct", "files").unwrap() > 0);
    }
}
