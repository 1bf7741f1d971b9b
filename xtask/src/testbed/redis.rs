//! A private Redis server.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::port::free_port;
use super::run_directory::RunDirectory;
use crate::http::Address;
use crate::process::Process;
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(30);

/// The minus lets the server do without IPv6 where there is none.
const LOOPBACK: &[&str] = &["127.0.0.1", "-::1"];

/// A running server, which keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    socket: PathBuf,
}

impl Redis {
    /// Starts a server on a free port and a Unix socket, and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start; with its last words.
    pub fn start(directory: &RunDirectory) -> Result<Self> {
        Self::launch(directory, "redis", LOOPBACK, &[])
    }

    /// As [`Self::start`], on these addresses, as `--bind` takes them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(directory: &RunDirectory, addresses: &[&str]) -> Result<Self> {
        Self::launch(directory, "redis", addresses, &[])
    }

    /// As [`Self::start`], with further options of `redis-server`. `name` names its files; two servers of one directory
    /// need different ones.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(directory: &RunDirectory, name: &str, options: &[&str]) -> Result<Self> {
        Self::launch(directory, name, LOOPBACK, options)
    }

    fn launch(directory: &RunDirectory, name: &str, addresses: &[&str], options: &[&str]) -> Result<Self> {
        let data = directory.data(name);
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let port = free_port()?;
        let socket = directory.socket(name);
        let mut command = Command::new(workspace::program("redis-server")?);
        command
            .args(["--port", &port.to_string(), "--protected-mode", "no", "--bind"])
            .args(addresses)
            .args(["--daemonize", "no", "--save", "", "--appendonly", "no", "--dir"])
            .arg(&data)
            .arg("--unixsocket")
            .arg(&socket)
            .args(options);
        let mut process = Process::start(name, command, directory.logs())?;
        let address = Address::Unix(socket.clone());
        process.wait_until(PATIENCE, || answers(&address))?;
        Ok(Self { process, port, socket })
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The TCP address on IPv4.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The TCP port, on the loopback addresses.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

fn answers(address: &Address) -> bool {
    let mut reply = [0; 7];
    address.connect().is_ok_and(|mut stream| {
        stream.write_all(b"PING\r\n").is_ok()
            && stream.read_exact(&mut reply).is_ok()
            && &reply == b"+PONG\r\n"
    })
}
