//! The probe's configuration for the running kernel: where the fields are that it reads.

use tracer_ebpf::ProbeConfig;

use super::btf::{Btf, BtfError};

/// Fills in every offset, from the kernel's BTF.
///
/// # Errors
/// When the kernel does not describe a field: the probe would have to guess, so it is not loaded.
pub fn resolve(btf: &Btf, config: &mut ProbeConfig) -> Result<(), BtfError> {
    tasks(btf, config)?;
    files(btf, config)?;
    sockets(btf, config)?;
    cgroups(btf, config)
}

fn tasks(btf: &Btf, config: &mut ProbeConfig) -> Result<(), BtfError> {
    let task = |member| btf.offset("task_struct", member);
    config.task_files = task("files")?;
    config.task_start_time = task("start_time")?;
    config.task_group_leader = task("group_leader")?;
    config.task_tgid = task("tgid")?;
    config.task_pid = task("pid")?;
    config.task_thread_pointer =
        if cfg!(target_arch = "x86_64") { task("thread.fsbase")? } else { task("thread.uw.tp_value")? };
    config.task_signal = task("signal")?;
    config.task_status =
        if cfg!(target_arch = "x86_64") { task("thread_info.status")? } else { task("thread_info.flags")? };
    config.task_works = task("task_works")?;
    config.signal_live = btf.offset("signal_struct", "live")?;
    Ok(())
}

fn files(btf: &Btf, config: &mut ProbeConfig) -> Result<(), BtfError> {
    config.files_fdt = btf.offset("files_struct", "fdt")?;
    config.fdt_max_fds = btf.offset("fdtable", "max_fds")?;
    config.fdt_fd = btf.offset("fdtable", "fd")?;
    config.file_inode = btf.offset("file", "f_inode")?;
    config.file_private = btf.offset("file", "private_data")?;
    // Since 6.6, since 6.0, before: members of one union.
    config.file_work = btf
        .offset("file", "f_task_work")
        .or_else(|_| btf.offset("file", "f_rcuhead"))
        .or_else(|_| btf.offset("file", "f_u"))?;
    config.inode_mode = btf.offset("inode", "i_mode")?;
    config.inode_ino = btf.offset("inode", "i_ino")?;
    config.inode_sb = btf.offset("inode", "i_sb")?;
    config.sb_dev = btf.offset("super_block", "s_dev")?;
    Ok(())
}

fn sockets(btf: &Btf, config: &mut ProbeConfig) -> Result<(), BtfError> {
    config.socket_type = btf.offset("socket", "type")?;
    config.socket_sk = btf.offset("socket", "sk")?;
    config.socket_file = btf.offset("socket", "file")?;
    let common = |member: &str| btf.offset("sock", &format!("__sk_common.{member}"));
    config.skc_family = common("skc_family")?;
    config.skc_state = common("skc_state")?;
    config.skc_num = common("skc_num")?;
    config.skc_dport = common("skc_dport")?;
    config.skc_daddr = common("skc_daddr")?;
    config.skc_rcv_saddr = common("skc_rcv_saddr")?;
    // A kernel without IPv6 has no such field, and no such socket either.
    config.skc_v6_daddr = common("skc_v6_daddr").unwrap_or(config.skc_daddr);
    config.skc_v6_rcv_saddr = common("skc_v6_rcv_saddr").unwrap_or(config.skc_rcv_saddr);
    config.sk_shutdown = btf.offset("sock", "sk_shutdown")?;
    config.sk_protocol = btf.offset("sock", "sk_protocol")?;
    let tcp = |member| btf.offset("tcp_sock", member);
    config.tcp_copied_seq = tcp("copied_seq")?;
    config.tcp_write_seq = tcp("write_seq")?;
    config.tcp_rcv_nxt = tcp("rcv_nxt")?;
    config.tcp_bytes_received = tcp("bytes_received")?;
    config.tcp_snd_una = tcp("snd_una")?;
    config.tcp_bytes_acked = tcp("bytes_acked")?;
    config.unix_peer = btf.offset("unix_sock", "peer")?;
    config.unix_addr = btf.offset("unix_sock", "addr")?;
    config.unix_address_len = btf.offset("unix_address", "len")?;
    config.unix_address_path = btf.offset("unix_address", "name.sun_path")?;
    Ok(())
}

fn cgroups(btf: &Btf, config: &mut ProbeConfig) -> Result<(), BtfError> {
    config.cgroup_self = btf.offset("cgroup", "self")?;
    config.css_parent = btf.offset("cgroup_subsys_state", "parent")?;
    config.css_cgroup = btf.offset("cgroup_subsys_state", "cgroup")?;
    config.cgroup_kn = btf.offset("cgroup", "kn")?;
    config.kn_id = btf.offset("kernfs_node", "id")?;
    config.kn_name = btf.offset("kernfs_node", "name")?;
    config.cgroup_root = btf.offset("cgroup", "root")?;
    config.root_hierarchy_id = btf.offset("cgroup_root", "hierarchy_id")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_describes_every_field() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            return;
        };
        let mut config = ProbeConfig::ZERO;
        resolve(&Btf::parse(bytes).unwrap(), &mut config).unwrap();
        assert_ne!(config.tcp_copied_seq, config.tcp_write_seq);
        assert_ne!(config.skc_daddr, config.skc_rcv_saddr);
    }
}
