//! Real servers to trace: a private MariaDB and Redis, the backend of `tests/backend`, nginx.
//!
//! All of them listen on free loopback ports (and Unix sockets), keep data and logs under `target/testbed`, and
//! end with the process that started them.

mod backend;
mod mariadb;
mod network;
mod nginx;
mod port;
mod redis;
mod run_directory;

use std::path::Path;

use anyhow::Result;

pub use backend::{Backend, BackendOptions, Bind, DatabaseRoute, Server, WorkerClass};
pub use mariadb::MariaDb;
pub use network::{Namespace, Network};
pub use nginx::Nginx;
pub use port::{free_port, has_ipv6};
pub use redis::Redis;
pub use run_directory::RunDirectory;

/// The stores of the backend, and the directory of this run.
#[derive(Debug)]
pub struct Testbed {
    // Fields are dropped in this order: servers before the directory that they write to.
    /// The database server, with the backend's schema in it.
    pub mariadb: MariaDb,
    /// The session and log store.
    pub redis: Redis,
    directory: RunDirectory,
}

impl Testbed {
    /// Starts MariaDB and Redis and waits until both answer. `name` becomes part of the directory's name.
    ///
    /// # Errors
    /// When a server is not installed or does not start; with its last words.
    pub fn start(name: &str) -> Result<Self> {
        let directory = RunDirectory::create(name)?;
        let mariadb = MariaDb::start(&directory)?;
        let redis = Redis::start(&directory)?;
        Ok(Self { mariadb, redis, directory })
    }

    /// As [`Self::start`], but they listen on all addresses: in a network of their own ([`Network`]). MariaDB listens
    /// on one IPv6 socket, which takes IPv4 too.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on_all_addresses(directory: RunDirectory) -> Result<Self> {
        let mariadb = MariaDb::start_on(&directory, "*")?;
        let redis = Redis::start_on(&directory, &["0.0.0.0"])?;
        Ok(Self { mariadb, redis, directory })
    }

    /// Starts the backend against these stores.
    ///
    /// # Errors
    /// When the Python environment is missing or the backend does not answer; with its last words.
    pub fn backend(&self, options: &BackendOptions) -> Result<Backend> {
        Backend::start(&self.directory, &self.mariadb, &self.redis, options)
    }

    /// The environment that tells an application where these stores are: `DB_HOST`, `DB_PORT`, `DB_USER`,
    /// `DB_PASSWORD`, `DB_NAME`, `REDIS_HOST`, `REDIS_PORT`, or the sockets.
    pub fn stores(&self, route: DatabaseRoute) -> Vec<(&'static str, String)> {
        backend::stores(route, &self.mariadb, &self.redis)
    }

    /// Where the servers' logs lie: `<name>.out` and `<name>.err`.
    pub fn logs(&self) -> &Path {
        self.directory.logs()
    }

    /// The directory of this run, for further servers.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }
}
