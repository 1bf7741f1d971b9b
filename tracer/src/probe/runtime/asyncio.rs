//! Where asyncio's tasks are: what the C module `_asyncio` knows of them.
//!
//! Until 3.11 its types and its dictionary of running tasks are variables of the library, since 3.12 they belong to the
//! module's state. Both are told by what they are: types by their names, the dictionary because it is the only one.

use std::ops::Range;

use super::layout::Layout;
use super::memory::Memory;
use super::objects::Modules;

/// Most bytes of a library's variables, or of a module's state, that are looked through.
const MAX_VARIABLES: u64 = 16 * 1024;

/// `PyObject.ob_type`, `PyTypeObject.tp_name`, `PyTypeObject.tp_basicsize`.
const TYPE: u64 = 8;
const NAME: u64 = 24;
const BASIC_SIZE: u64 = 32;

/// `PyModuleObject.md_def`, `md_state`; `PyModuleDef.m_size`.
const MODULE_DEFINITION: u64 = 24;
const MODULE_STATE: u64 = 32;
const DEFINITION_SIZE: u64 = 56;

/// What is needed to tell which task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tasks {
    /// The dictionary of running tasks, by loop; 0 where thread states name them.
    pub(super) current: u64,
    /// `_asyncio.Task`.
    pub(super) task_type: u64,
    /// Where a task says what it waits for, and what else only tasks have.
    pub(super) task_fields: u32,
}

/// Variables of a library in a process's memory.
#[derive(Clone, Debug)]
pub(super) struct Variables {
    /// Those that have a value from the start.
    pub(super) initialised: Range<u64>,
    /// Those that are zero at the start.
    pub(super) zeroed: Range<u64>,
}

/// Finds them; `None` when `_asyncio` is not there yet, or is not as its releases are.
pub(super) fn find(
    memory: &Memory,
    layout: &Layout,
    modules: &Modules,
    variables: impl FnOnce() -> Option<Variables>,
) -> Option<Tasks> {
    let (types, objects) = if layout.module_state {
        let values = values(memory, &state(memory, modules.get(b"_asyncio")?)?);
        (values.iter().copied().filter(|address| named(memory, *address)).collect::<Vec<_>>(), values)
    } else {
        // The types themselves lie there.
        let variables = variables()?;
        let types = words(variables.initialised.clone()).filter(|address| named(memory, *address));
        (types.collect(), values(memory, &variables.zeroed))
    };
    let of =
        |name: &[u8]| types.iter().copied().find(|address| type_name(memory, *address).starts_with(name));
    let (future, task) = (of(b"_asyncio.Future\0")?, of(b"_asyncio.Task\0")?);
    let future_size = memory.word(future + BASIC_SIZE).ok()?;
    let task_fields = future_size.checked_add(u64::from(layout.task_bits))?;
    // What it waits for, coroutine, name and context; some bits before or after them.
    let task_size = memory.word(task + BASIC_SIZE).ok()?;
    let bits = task_size.checked_sub(task_fields)?.checked_sub(4 * 8)?;
    if bits > 16 || bits + u64::from(layout.task_bits) == 0 {
        return None;
    }
    let task_fields = u32::try_from(task_fields).ok()?;
    if layout.task_list.is_some() {
        return Some(Tasks { current: 0, task_type: task, task_fields });
    }
    let is_dict = |object: &u64| {
        memory
            .word(object.wrapping_add(TYPE))
            .is_ok_and(|kind| type_name(memory, kind).starts_with(b"dict\0"))
    };
    let mut dicts = objects.iter().copied().filter(is_dict);
    let current = dicts.next().filter(|_| dicts.next().is_none())?;
    Some(Tasks { current, task_type: task, task_fields })
}

/// The addresses of whole words.
fn words(range: Range<u64>) -> impl Iterator<Item = u64> {
    let end = range.end.min(range.start.saturating_add(MAX_VARIABLES));
    (range.start.next_multiple_of(8)..end.saturating_sub(7)).step_by(8)
}

/// What words hold, but for zeros.
fn values(memory: &Memory, range: &Range<u64>) -> Vec<u64> {
    words(range.clone()).filter_map(|address| memory.word(address).ok()).filter(|word| *word != 0).collect()
}

fn named(memory: &Memory, address: u64) -> bool {
    type_name(memory, address).starts_with(b"_asyncio.")
}

/// The beginning of a type's name; zeros where there is none.
fn type_name(memory: &Memory, address: u64) -> [u8; 16] {
    let name = memory.word(address.wrapping_add(NAME));
    name.and_then(|name| memory.bytes(name)).unwrap_or_default()
}

/// The state of a module.
fn state(memory: &Memory, module: u64) -> Option<Range<u64>> {
    let definition = memory.word(module + MODULE_DEFINITION).ok()?;
    let start = memory.word(module + MODULE_STATE).ok()?;
    let size = memory.word(definition + DEFINITION_SIZE).ok()?;
    (start != 0).then(|| start..start.saturating_add(size))
}
