//! Which processes listen on a TCP port: from `/proc/PID/net/tcp` of every network namespace to the sockets'
//! inodes, and from there to the descriptors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::enrich::process::Proc;

/// Most bytes read of one namespace's table of sockets: about 100,000 sockets.
const MAX_TABLE: u64 = 16 * 1024 * 1024;

/// State LISTEN in `/proc/net/tcp` (`TCP_LISTEN` of `<net/tcp_states.h>`).
const LISTEN: &str = "0A";

/// Those of `pids` that hold a socket that listens on one of `ports`. Processes whose descriptors may not be
/// read are left out.
pub(super) fn listeners(
    proc: &Proc,
    pids: impl Iterator<Item = u32> + Clone,
    ports: &[u16],
) -> BTreeSet<u32> {
    let mut namespaces: BTreeMap<PathBuf, u32> = BTreeMap::new();
    for pid in pids.clone() {
        if let Ok(namespace) = proc.link(pid, "ns/net") {
            namespaces.entry(namespace).or_insert(pid);
        }
    }
    let mut inodes = BTreeSet::new();
    for pid in namespaces.into_values() {
        for table in ["net/tcp", "net/tcp6"] {
            let bytes = proc.read(pid, table, MAX_TABLE).unwrap_or_default();
            inodes.extend(listening_inodes(&String::from_utf8_lossy(&bytes), ports));
        }
    }
    if inodes.is_empty() {
        return BTreeSet::new();
    }
    pids.filter(|pid| holds_any(proc, *pid, &inodes)).collect()
}

fn holds_any(proc: &Proc, pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let Ok(descriptors) = std::fs::read_dir(proc.path(pid, "fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|entry| socket_inode(std::fs::read_link(entry.path()).ok()?.to_str()?))
        .any(|inode| inodes.contains(&inode))
}

/// The inode in a descriptor's link, `socket:[123]`.
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Inodes of the sockets in `/proc/net/tcp{,6}` that listen on one of `ports`.
fn listening_inodes<'a>(table: &'a str, ports: &'a [u16]) -> impl Iterator<Item = u64> + 'a {
    table.lines().filter_map(|line| {
        // sl, local_address, rem_address, st, queues, timer, retransmits, uid, timeout, inode
        let mut fields = line.split_ascii_whitespace().skip(1);
        let port = fields.next()?.rsplit(':').next()?;
        let state = fields.nth(1)?;
        let wanted = state == LISTEN && ports.contains(&u16::from_str_radix(port, 16).ok()?);
        fields.nth(5).filter(|_| wanted)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 20 4 30 10 -1
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4244 1 0
   3: cut
";

    #[test]
    fn only_listening_sockets_on_the_port() {
        assert_eq!(listening_inodes(TABLE, &[8080]).collect::<Vec<_>>(), [4242]);
        assert_eq!(listening_inodes(TABLE, &[80, 8080]).collect::<Vec<_>>(), [4242, 4244]);
        assert_eq!(listening_inodes(TABLE, &[50000]).count(), 0);
    }

    #[test]
    fn finds_the_test_process() {
        let pid = std::process::id();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let proc = Proc::default();
            let pids = proc.pids().unwrap();
            assert!(listeners(&proc, pids.iter().copied(), &[port]).contains(&pid), "{address}");
            drop(listener);
            assert!(listeners(&proc, pids.iter().copied(), &[port]).is_empty(), "{address}");
        }
    }
}
