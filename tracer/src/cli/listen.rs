//! `--listen`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// The port of `/metrics`: the one that OpenTelemetry's Prometheus exporters have.
pub const DEFAULT_PORT: u16 = 9464;

/// Where the agent's own endpoints are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl Listen {
    /// On every address: the kubelet and Prometheus come from elsewhere.
    pub const EVERYWHERE: Self = Self::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), DEFAULT_PORT));
}

/// Neither `off` nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not where to listen: give off, PORT, ADDRESS:PORT or [ADDRESS]:PORT")]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
        let everywhere = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let address = port.map(everywhere).or_else(|_| text.parse());
        address.map(Self::At).map_err(|_| ListenError(text.to_owned()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_it() {
        for (text, shown) in [
            ("off", "off"),
            ("9464", "0.0.0.0:9464"),
            (":9464", "0.0.0.0:9464"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::]:80", "[::]:80"),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), shown);
        }
        for text in ["", "host:80", "70000", "127.0.0.1", "::1:80:"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
