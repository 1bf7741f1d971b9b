//! The other end of a target's connections: the test itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use xtask::http::{Address, Stream};

/// One connection.
#[derive(Debug)]
pub struct Peer {
    stream: Box<dyn Stream>,
}

impl Peer {
    /// Connects to a port of 127.0.0.1.
    pub fn inet(port: u16) -> Self {
        Self { stream: Address::Tcp((Ipv4Addr::LOCALHOST, port).into()).connect().unwrap() }
    }

    /// Connects to a port of ::1.
    pub fn inet6(port: u16) -> Self {
        Self { stream: Address::Tcp((Ipv6Addr::LOCALHOST, port).into()).connect().unwrap() }
    }

    /// Connects to a Unix socket.
    pub fn unix(path: &Path) -> Self {
        Self { stream: Address::Unix(PathBuf::from(path)).connect().unwrap() }
    }

    /// Sends all of it.
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Receives exactly as many bytes.
    pub fn receive(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Receives exactly this.
    pub fn expect(&mut self, text: &str) {
        assert_eq!(self.receive(text.len()), text);
    }

    /// Receives up to and with `end`.
    pub fn receive_through(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            text.push_str(&self.receive(1));
        }
        text
    }

    /// Sends no more: closes the connection.
    pub fn finish(&mut self) {
        self.stream = Box::new(UnixStream::pair().unwrap().0);
    }
}

/// Where targets connect to.
#[derive(Debug)]
pub enum Service {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Service {
    /// On a free port of 127.0.0.1.
    pub fn inet() -> Self {
        Self::Tcp(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    /// On a free port of ::1.
    pub fn inet6() -> Self {
        Self::Tcp(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap())
    }

    /// On a Unix socket.
    pub fn unix(path: &Path) -> Self {
        Self::Unix(UnixListener::bind(path).unwrap())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(listener) => listener.local_addr().unwrap().port(),
            Self::Unix(_) => 0,
        }
    }

    /// Takes a connection.
    pub fn accept(&self) -> Peer {
        Peer {
            stream: match self {
                Self::Tcp(listener) => Box::new(listener.accept().unwrap().0),
                Self::Unix(listener) => Box::new(listener.accept().unwrap().0),
            },
        }
    }
}
