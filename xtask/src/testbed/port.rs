//! Free TCP ports.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

/// First port handed out, and how many there are: below the kernel's usual range for outgoing connections, so
/// that none of those takes the port before the server does.
const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;

/// How far apart two processes start to look (a prime, so that consecutive process ids spread).
const STRIDE: u32 = 7_919;

/// A TCP port on which nobody listens on the loopback addresses. No port is handed out twice by one process.
///
/// # Errors
/// When all ports are taken.
pub fn free_port() -> Result<u16> {
    static HANDED_OUT: AtomicU32 = AtomicU32::new(0);
    let start = process::id().wrapping_mul(STRIDE) % COUNT;
    while HANDED_OUT.load(Ordering::Relaxed) < COUNT {
        let offset = start + HANDED_OUT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + offset % COUNT)?;
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("no free TCP port between {FIRST} and {}", FIRST + COUNT)
}

/// Whether this machine has an IPv6 loopback address.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && (!has_ipv6() || TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_taken_ones_are_passed_over() {
        let first = free_port().unwrap();
        let second = free_port().unwrap();
        assert_ne!(first, second);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, second)).unwrap();
        assert!(!is_free(second));
    }
}
