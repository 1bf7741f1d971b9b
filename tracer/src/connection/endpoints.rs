//! Who talks to whom, from what the probe read of a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracer_ebpf::{ConnectionEvent, Family};

use crate::event::{Address, Endpoint, Endpoints, Role};

/// Both ends, as far as the event tells them.
#[must_use]
pub fn endpoints(event: &ConnectionEvent) -> Endpoints {
    if event.family == Family::Unix as u16 {
        return unix(event);
    }
    let v6 = event.family == Family::Inet6 as u16;
    Endpoints {
        local: tcp(event.local_address, event.local_port, v6),
        peer: tcp(event.remote_address, event.remote_port, v6),
        unix: false,
    }
}

/// The role that an AF_UNIX socket's name tells: an accepted socket has its listener's name, and a client's peer
/// has it. TCP addresses tell nothing.
#[must_use]
pub fn role(event: &ConnectionEvent) -> Option<Role> {
    let named = event.family == Family::Unix as u16 && event.path_length > 0;
    named.then_some(if event.path_is_peer == 0 { Role::Server } else { Role::Client })
}

/// The end that a client of this connection connects to, if the role tells which one that is.
#[must_use]
pub fn server(endpoints: &Endpoints, role: Option<Role>) -> Option<&Endpoint> {
    match role? {
        Role::Client => endpoints.peer.as_ref(),
        Role::Server => endpoints.local.as_ref(),
    }
}

fn tcp(address: [u8; 16], port: u16, v6: bool) -> Option<Endpoint> {
    let [a, b, c, d, ..] = address;
    let ip = if v6 {
        let ip = Ipv6Addr::from(address);
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    } else {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    // A socket that is not connected (any more) has no peer.
    (port != 0).then(|| Address::Ip(SocketAddr::new(ip, port)).into())
}

fn unix(event: &ConnectionEvent) -> Endpoints {
    let name = event.path.get(..usize::from(event.path_length)).and_then(unix_name);
    let name = name.map(|name| Address::Unix(name).into());
    let (local, peer) = if event.path_is_peer == 0 { (name, None) } else { (None, name) };
    Endpoints { local, peer, unix: true }
}

/// unix(7): a pathname ends at the first zero byte; an abstract name begins with one, and every further byte
/// counts.
fn unix_name(path: &[u8]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    if *first == 0 {
        return Some(format!("@{}", String::from_utf8_lossy(rest)));
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    path.get(..end).map(|name| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::script::connection_event;

    #[test]
    fn mapped_addresses_are_shown_as_ipv4() {
        let mut event = connection_event();
        event.family = Family::Inet6 as u16;
        event.local_address = Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped().octets();
        event.local_port = 80;
        event.remote_address = Ipv6Addr::LOCALHOST.octets();
        event.remote_port = 0;
        let ends = endpoints(&event);
        assert_eq!(ends.local.unwrap().address.to_string(), "10.0.0.7:80");
        assert_eq!(ends.peer, None);
    }

    #[test]
    fn a_unix_name_tells_the_role() {
        let mut event = connection_event();
        event.family = Family::Unix as u16;
        event.path[..10].copy_from_slice(b"/run/s\0junk"[..10].try_into().unwrap());
        event.path_length = 10;
        assert_eq!(endpoints(&event).local, Some(Address::Unix("/run/s".to_owned()).into()));
        assert_eq!(role(&event), Some(Role::Server));
        event.path_is_peer = 1;
        event.path[0] = 0;
        assert_eq!(endpoints(&event).peer, Some(Address::Unix("@run/s\0jun".to_owned()).into()));
        assert_eq!(role(&event), Some(Role::Client));
        event.path_length = 0;
        assert_eq!(role(&event), None);
    }
}
