//! CPython's objects since 3.11, found by their names: modules, what they and types hold, functions and their code.

use super::layout::Layout;
use super::memory::Memory;

/// Entries of a dictionary that are looked through.
const MAX_ENTRIES: u64 = 16 * 1024;

/// `PyObject.ob_type`, `PyTypeObject.tp_name`.
pub(super) const TYPE: u64 = 8;
const TYPE_NAME: u64 = 24;

/// `PyTypeObject.tp_dict`.
const TYPE_VARIABLES: u64 = 264;

/// `PyModuleObject.md_dict`.
const MODULE_VARIABLES: u64 = 16;

/// `PyDictObject.ma_keys`. Of its keys, since 3.11: logarithm of the size, logarithm of the index's bytes, kind;
/// entries; the index, before the entries.
const DICT_KEYS: u64 = 32;
const KEYS_SIZES: u64 = 8;
const KEYS_COUNT: u64 = 24;
const KEYS_INDEX: u64 = 32;

/// `PyASCIIObject.length`.
const TEXT_LENGTH: u64 = 16;

/// Bytes of a name or a path that are looked at; a longer one is not what is looked for.
const MAX_TEXT: u64 = 1024;

/// `PyVarObject.ob_size`.
const SIZE: u64 = 16;

/// Most items of a tuple that are looked at.
const MAX_ITEMS: u64 = 256;

/// `PyFunctionObject.func_code`; `PyCodeObject.co_consts`, `co_localsplusnames`, `co_name`.
const FUNCTION_CODE: u64 = 48;
const CONSTANTS: u64 = 24;
const VARIABLES: u64 = 96;
const NAME: u64 = 120;

/// `PyMemberDescrObject.d_member`; `PyMemberDef.offset`.
const SLOT_MEMBER: u64 = 40;
const MEMBER_OFFSET: u64 = 16;

/// The objects of a process's interpreter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects<'a> {
    pub(super) memory: &'a Memory,
    pub(super) layout: &'a Layout,
}

/// Where instances of a type have an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// So far behind the object.
    Slot(u32),
    /// So far behind the first value.
    Value(u32),
}

/// The modules that an interpreter has imported, by name.
#[derive(Debug, Default)]
pub(super) struct Modules(Vec<(Vec<u8>, u64)>);

impl Modules {
    pub(super) fn get(&self, name: &[u8]) -> Option<u64> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, module)| *module)
    }
}

impl Objects<'_> {
    /// The modules that were imported.
    pub(super) fn modules(self, interpreter: u64) -> Option<Modules> {
        let dictionary = self.at(interpreter, self.layout.modules?.into())?;
        let entries = self.entries(self.at(dictionary, DICT_KEYS)?)?;
        let named =
            |entry: Entry| Some((self.string(entry.key)?, entry.value)).filter(|(_, value)| *value != 0);
        Some(Modules(entries.into_iter().filter_map(named).collect()))
    }

    /// A variable of a module.
    pub(super) fn variable(self, module: u64, name: &[u8]) -> Option<u64> {
        self.entry(self.at(module, MODULE_VARIABLES)?, name)
    }

    /// What a type itself holds by a name.
    pub(super) fn member(self, of: u64, name: &[u8]) -> Option<u64> {
        self.entry(self.at(of, TYPE_VARIABLES)?, name)
    }

    /// What a dictionary holds by a name.
    pub(super) fn entry(self, dictionary: u64, name: &[u8]) -> Option<u64> {
        let (_, entry) = self.find(self.at(dictionary, DICT_KEYS)?, name)?;
        Some(entry.value).filter(|value| *value != 0)
    }

    /// Where the instances of a type have an attribute: in a slot, or by the keys that they share.
    pub(super) fn place(self, of: u64, name: &[u8]) -> Option<Place> {
        let slot = self.member(of, name).filter(|slot| self.is(*slot, b"member_descriptor\0"));
        if let Some(slot) = slot {
            let offset = self.at(self.at(slot, SLOT_MEMBER)?, MEMBER_OFFSET)?;
            return u32::try_from(offset).ok().map(Place::Slot);
        }
        let (index, _) = self.find(self.at(of, self.layout.members?.shared_keys)?, name)?;
        u32::try_from(index * 8).ok().map(Place::Value)
    }

    /// The code of a function.
    pub(super) fn code(self, function: u64) -> Option<u64> {
        self.is(function, b"function\0").then(|| self.at(function, FUNCTION_CODE))?
    }

    /// The code of the function of this name that a function makes.
    pub(super) fn inner_code(self, code: u64, name: &[u8]) -> Option<u64> {
        let is_it = |constant: &u64| {
            let text = || self.text(constant.wrapping_add(NAME));
            self.is(*constant, b"code\0") && text().is_some_and(|text| text == name)
        };
        self.items(self.at(code, CONSTANTS)?)?.into_iter().find(is_it)
    }

    /// Where a function's closure has the cell of a variable, by the function's code.
    pub(super) fn cell(self, code: u64, name: &[u8]) -> Option<u32> {
        let variables = self.items(self.at(code, VARIABLES)?)?;
        let free: [u8; 4] = self.memory.bytes(code.wrapping_add(self.layout.members?.free_variables)).ok()?;
        let free = variables.len().checked_sub(usize::try_from(u32::from_ne_bytes(free)).ok()?)?;
        let is_it = |variable: &u64| self.string(*variable).is_some_and(|text| text == name);
        let index = variables.get(free..)?.iter().position(is_it)?;
        Some(self.layout.items + u32::try_from(index * 8).ok()?)
    }

    /// The ASCII string, not a long one, that a word names.
    pub(super) fn text(self, at: u64) -> Option<Vec<u8>> {
        self.string(self.at(at, 0)?)
    }

    fn string(self, string: u64) -> Option<Vec<u8>> {
        let length = self.at(string, TEXT_LENGTH)?;
        if length > MAX_TEXT {
            return Some(Vec::new());
        }
        self.memory.slice(string.wrapping_add(self.layout.text.into()), usize::try_from(length).ok()?).ok()
    }

    /// The items of a tuple.
    fn items(self, tuple: u64) -> Option<Vec<u64>> {
        let count = self.at(tuple, SIZE).filter(|count| *count <= MAX_ITEMS)?;
        self.words(tuple.wrapping_add(self.layout.items.into()), count)
    }

    /// Whether an object's type has a name that begins so.
    pub(super) fn is(self, object: u64, name: &[u8]) -> bool {
        let at = self.at(object, TYPE).and_then(|kind| self.at(kind, TYPE_NAME));
        at.is_some_and(|at| self.memory.slice(at, name.len()).is_ok_and(|bytes| bytes == name))
    }

    /// Which of a dictionary's entries has a name for its key.
    fn find(self, keys: u64, name: &[u8]) -> Option<(u64, Entry)> {
        let entries = self.entries(keys)?;
        (0..).zip(entries).find(|(_, entry)| self.string(entry.key).is_some_and(|key| key == name))
    }

    /// What keys of a dictionary tell; also of those that are no longer there.
    fn entries(self, keys: u64) -> Option<Vec<Entry>> {
        let [_, index, kind, ..] = self.memory.bytes::<8>(keys.wrapping_add(KEYS_SIZES)).ok()?;
        let count = self.at(keys, KEYS_COUNT)?.min(MAX_ENTRIES);
        let first = keys.wrapping_add(KEYS_INDEX).wrapping_add(1_u64.checked_shl(index.into())?);
        // Keys that are all strings (kinds other than 0) are kept without their hashes.
        let (words, hash) = if kind == 0 { (3, 1) } else { (2, 0) };
        let all = self.words(first, count * words)?;
        let entries = all.chunks_exact(usize::try_from(words).ok()?);
        Some(entries.filter_map(|entry| Entry::of(entry.get(hash..)?)).collect())
    }

    /// A word so far behind an address.
    pub(super) fn at(self, address: u64, offset: u64) -> Option<u64> {
        self.memory.word(address.wrapping_add(offset)).ok()
    }

    fn words(self, address: u64, count: u64) -> Option<Vec<u64>> {
        let bytes = self.memory.slice(address, usize::try_from(count * 8).ok()?).ok()?;
        let (words, _) = bytes.as_chunks();
        Some(words.iter().map(|word| u64::from_ne_bytes(*word)).collect())
    }
}

/// An entry of a dictionary. In keys that instances share there is no value.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    value: u64,
}

impl Entry {
    fn of(words: &[u64]) -> Option<Self> {
        let [key, value] = words.try_into().ok()?;
        Some(Self { key, value })
    }
}
