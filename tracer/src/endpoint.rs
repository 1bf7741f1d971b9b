//! The two ends of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where one end of a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP. IPv4-mapped IPv6 addresses are shown as IPv4.
    Ip(SocketAddr),
    /// AF_UNIX: the bound path, or `@name` for an abstract one.
    Unix(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// One end of a connection, its name written out once for all spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// The IP address without the port, or the socket's path.
    pub name: Arc<str>,
}

impl Endpoint {
    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.address {
            Address::Ip(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// The IP address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.address {
            Address::Ip(address) => Some(address.ip()),
            Address::Unix(_) => None,
        }
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        let name = match &address {
            Address::Ip(address) => address.ip().to_string().into(),
            Address::Unix(path) => path.as_str().into(),
        };
        Self { address, name }
    }
}

/// Both ends of a connection, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The traced process's own end.
    pub local: Option<Endpoint>,
    /// The other end.
    pub peer: Option<Endpoint>,
    /// Whether the transport is AF_UNIX rather than TCP.
    pub unix: bool,
}
