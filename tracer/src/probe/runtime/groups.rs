//! anyio's task groups: what a task of one calls when it is done, and where that leads to the task that entered the group.

use super::objects::{Modules, Objects, Place};

/// What the probe follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    /// The code of what a group's task calls when it is done.
    pub(super) done: u64,
    /// Where its closure has the cell with the group.
    pub(super) cell: u32,
    /// The type of the groups.
    pub(super) group_type: u64,
    /// Where a group has its cancel scope: among the values of its attributes.
    pub(super) scope: u32,
    /// The same, the future with which the group's host waits for its tasks.
    pub(super) completed: u32,
    /// Where a cancel scope has the host.
    pub(super) host: Place,
}

/// Finds them; `None` as long as anyio has not been used with asyncio.
pub(super) fn find(objects: Objects<'_>, modules: &Modules) -> Option<Groups> {
    let module = modules.get(b"anyio._backends._asyncio")?;
    let group_type = objects.variable(module, b"TaskGroup")?;
    let done = objects.inner_code(objects.code(objects.member(group_type, b"_spawn")?)?, b"task_done")?;
    let value = |name| match objects.place(group_type, name)? {
        Place::Value(at) => Some(at),
        Place::Slot(_) => None,
    };
    let scope = value(b"cancel_scope")?;
    Some(Groups {
        done,
        cell: objects.cell(done, b"self")?,
        group_type,
        scope,
        // Before 4.8 the host waits by a function of asyncio's, which is known; nobody waits for the scope itself.
        completed: value(b"_on_completed_fut").unwrap_or(scope),
        host: objects.place(objects.variable(module, b"CancelScope")?, b"_host_task")?,
    })
}
