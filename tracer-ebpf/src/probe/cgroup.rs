//! cgroups below a selected one are selected before anything can run in them.

use tracer_ebpf::{CgroupEvent, EventKind, LossReason};

use super::emit;
use super::filter::current;
use super::kernel::read;
use super::maps::{CGROUPS, count_loss};

/// A cgroup v2 directory and its parent.
struct Place {
    id: u64,
    parent: u64,
}

/// Where `cgroup` stands, if it belongs to the v2 hierarchy (whose number is 0). Ids are unique only within one.
#[inline(always)]
fn place(cgroup: u64) -> Option<Place> {
    let root: u64 = read(cgroup, config!(cgroup_root));
    let hierarchy: i32 = read(root, config!(root_hierarchy_id));
    let parent_css: u64 = read(cgroup, config!(cgroup_self) + config!(css_parent));
    let parent: u64 = read(parent_css, config!(css_cgroup));
    if root == 0 || hierarchy != 0 || parent == 0 {
        return None;
    }
    Some(Place { id: id_of(cgroup), parent: id_of(parent) })
}

#[inline(always)]
fn id_of(cgroup: u64) -> u64 {
    let node: u64 = read(cgroup, config!(cgroup_kn));
    read(node, config!(kn_id))
}

/// CRI-O's conmon watches a container from outside, in a cgroup beside it: `crio-conmon-ID.scope`. Its work is not the
/// pod's.
#[inline(always)]
fn is_monitor(cgroup: u64) -> bool {
    let node: u64 = read(cgroup, config!(cgroup_kn));
    let name: u64 = read(node, config!(kn_name));
    read::<u64>(name, 0) == u64::from_ne_bytes(*b"crio-con")
        && read::<u32>(name, 8) == u32::from_ne_bytes(*b"mon-")
}

/// A directory was made: it inherits its parent's selection.
#[inline(always)]
pub fn on_mkdir(cgroup: u64) {
    let Some(place) = place(cgroup) else {
        return;
    };
    let Some(selection) = CGROUPS.get_ptr(&place.parent) else {
        return;
    };
    if is_monitor(cgroup) {
        return;
    }
    // SAFETY: the pointer is to a map value.
    let selection = unsafe { *selection };
    if CGROUPS.insert(&place.id, &selection, 0).is_err() {
        count_loss(LossReason::TableFull);
        return;
    }
    tell(&place, 0);
}

/// A directory was removed: its id may be given out again.
#[inline(always)]
pub fn on_rmdir(cgroup: u64) {
    if let Some(place) = place(cgroup)
        && CGROUPS.remove(&place.id).is_ok()
    {
        tell(&place, 1);
    }
}

#[inline(always)]
fn tell(place: &Place, removed: u32) {
    let Some(record) = emit::reserve::<CgroupEvent>(LossReason::RingControl) else {
        return;
    };
    let mut header = emit::header(&current());
    header.kind = EventKind::Cgroup as u16;
    header.size = size_of::<CgroupEvent>() as u32;
    // SAFETY: the record has this size.
    unsafe {
        record.write(CgroupEvent { header, id: place.id, parent_id: place.parent, removed, padding: 0 })
    };
    emit::submit(record);
}
