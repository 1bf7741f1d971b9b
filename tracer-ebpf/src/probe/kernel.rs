//! Reading the kernel's structures at offsets that its BTF told.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};

/// The field of type `T` at `base + offset`, or zero when it cannot be read (the helper zeroes the destination on a
/// fault). A zero ends every walk: pointers are tested, sizes are compared.
#[inline(always)]
pub fn read<T: Copy>(base: u64, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the destination has room for a T, and the helper writes all of it in any case.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (base + offset as u64) as *const _,
        );
        value.assume_init()
    }
}

/// A value of the application's memory. `None` when its page cannot be read now.
#[inline(always)]
pub fn read_user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the destination has room for a T; the helper checks the source.
    let result =
        unsafe { bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _) };
    if result == 0 {
        // SAFETY: the helper wrote all of it.
        Some(unsafe { value.assume_init() })
    } else {
        None
    }
}

/// The `struct file` behind a descriptor of the current process, or 0.
#[inline(always)]
pub fn file_of(task: u64, fd: u32) -> u64 {
    let files: u64 = read(task, config!(task_files));
    let fdt: u64 = read(files, config!(files_fdt));
    let max_fds: u32 = read(fdt, config!(fdt_max_fds));
    if files == 0 || fdt == 0 || fd >= max_fds {
        return 0;
    }
    let table: u64 = read(fdt, config!(fdt_fd));
    read(table + fd as u64 * 8, 0)
}
