//! A private MariaDB server.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::port::{free_port, has_ipv6};
use super::run_directory::{RunDirectory, parent};
use crate::http::Address;
use crate::process::Process;
use crate::workspace;

/// The account that `schema.sql` makes.
pub(super) const USER: &str = "jiwoo";

/// Its password: a planted secret, which must appear in no span and no log record.
pub(super) const PASSWORD: &str = "planted-db-password";

/// The database that `schema.sql` makes.
pub(super) const DATABASE: &str = "jiwoo";

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with the backend's schema.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    port: u16,
    socket: PathBuf,
}

impl MariaDb {
    /// Starts a server on a free port and a Unix socket, and waits for its greeting.
    ///
    /// # Errors
    /// When it is not installed or does not start; with its last words.
    pub fn start(directory: &RunDirectory) -> Result<Self> {
        let addresses = if has_ipv6() { "127.0.0.1,::1" } else { "127.0.0.1" };
        Self::start_on(directory, addresses)
    }

    /// As [`Self::start`], on these addresses, as `--bind-address` takes them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(directory: &RunDirectory, addresses: &str) -> Result<Self> {
        let server = workspace::program("mariadbd")?;
        let data = directory.data("mariadb");
        copy(&template(&server)?, &data)?;
        let port = free_port()?;
        let socket = directory.socket("mariadb");
        let mut command = Command::new(server);
        command
            .arg("--no-defaults")
            .args(as_root())
            .args(option("datadir", &data))
            .args(option("tmpdir", &temporary(directory)?))
            .args(option("socket", &socket))
            .args(option("pid-file", &directory.data("mariadb.pid")))
            .args(option("init-file", &workspace::backend().join("schema.sql")))
            .arg(format!("--port={port}"))
            .arg(format!("--bind-address={addresses}"))
            .args([
                "--skip-name-resolve",
                "--skip-log-bin",
                "--max-connections=500",
                "--performance-schema=OFF",
            ])
            .args(["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M"])
            .arg(LOG_FILE_SIZE);
        let mut process = Process::start("mariadb", command, directory.logs())?;
        let address = Address::Unix(socket.clone());
        process.wait_until(PATIENCE, || greets(&address))?;
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

/// Small, since every run copies the file. Must be the same when the tables are made.
const LOG_FILE_SIZE: &str = "--innodb-log-file-size=8M";

/// A data directory with the system tables, made once for each version: it takes seconds, a copy does not.
fn template(server: &Path) -> Result<PathBuf> {
    let version = Command::new(server).arg("--version").output().context("cannot run mariadbd --version")?;
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split_whitespace().skip_while(|word| *word != "Ver").nth(1).unwrap_or("unknown");
    let path = parent().join(format!("mariadb-template_{version}"));
    if path.is_dir() {
        return Ok(path);
    }
    let draft = RunDirectory::create("mariadb-template")?;
    let data = draft.data("mariadb");
    let answer = Command::new(workspace::program("mariadb-install-db")?)
        .arg("--no-defaults")
        .args(as_root())
        .args(option("datadir", &data))
        .args(option("tmpdir", &temporary(&draft)?))
        .args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            LOG_FILE_SIZE,
        ])
        .output()
        .context("cannot run mariadb-install-db")?;
    if !answer.status.success() {
        bail!("mariadb-install-db failed: {}", String::from_utf8_lossy(&answer.stderr).trim());
    }
    // Two processes may do this at once: the first to finish wins.
    if fs::rename(&data, &path).is_err() && !path.is_dir() {
        bail!("cannot create {}", path.display());
    }
    fs::remove_dir_all(draft.logs()).context("cannot remove the draft of the template")?;
    Ok(path)
}

/// A place for temporary tables that no other server shares: each removes all that it finds there when it starts.
fn temporary(directory: &RunDirectory) -> Result<PathBuf> {
    let path = directory.data("mariadb-tmp");
    fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").args(["-r", "--reflink=auto"]).arg(from).arg(to).status()?;
    if !status.success() {
        bail!("cannot copy {} to {}", from.display(), to.display());
    }
    Ok(())
}

/// Whether the server has sent the first byte of a greeting: it then serves.
fn greets(address: &Address) -> bool {
    address.connect().is_ok_and(|mut stream| stream.read_exact(&mut [0; 1]).is_ok())
}

/// The server refuses to run as root unless told to.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn option(name: &str, path: &Path) -> Option<String> {
    Some(format!("--{name}={}", path.display()))
}
