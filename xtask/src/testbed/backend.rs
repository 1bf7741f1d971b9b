//! The backend of `tests/backend`, under gunicorn or Flask's own server.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Result, bail};

use super::mariadb::{self, MariaDb};
use super::port::free_port;
use super::redis::Redis;
use super::run_directory::RunDirectory;
use crate::http::{Address, Client, Response};
use crate::process::Process;
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(60);

/// What serves the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// gunicorn: a master that forks workers.
    Gunicorn {
        /// Worker processes.
        workers: u16,
        /// Threads of each worker (for [`WorkerClass::Threads`]).
        threads: u16,
        /// What a worker is made of.
        class: WorkerClass,
    },
    /// Flask's own server: one process, a new thread for each connection.
    Flask,
}

/// gunicorn's kinds of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerClass {
    /// One request at a time.
    Sync,
    /// A pool of threads.
    Threads,
    /// Greenlets on one thread.
    Gevent,
}

/// Where the backend listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// TCP on 127.0.0.1.
    Ipv4,
    /// TCP on ::1.
    Ipv6,
    /// TCP on all addresses, by one IPv6 socket that takes IPv4 too.
    All,
    /// A Unix socket.
    Unix,
}

/// How the backend reaches MariaDB and Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseRoute {
    /// TCP to 127.0.0.1.
    Ipv4,
    /// TCP to ::1.
    Ipv6,
    /// Their Unix sockets.
    Unix,
}

/// How to run the backend.
#[derive(Clone, Debug)]
pub struct BackendOptions {
    /// Names its logs; two backends of one testbed need different names.
    pub name: String,
    /// What serves it.
    pub server: Server,
    /// Where it listens.
    pub bind: Bind,
    /// How it reaches its stores.
    pub stores: DatabaseRoute,
    /// Further environment, such as `LOG_FORMAT` or `OTEL_SERVICE_NAME`.
    pub environment: Vec<(String, String)>,
    /// Further arguments of gunicorn, such as `--access-logfile -`.
    pub arguments: Vec<String>,
}

/// One gunicorn worker with four threads, TCP everywhere: how the real backend runs.
impl Default for BackendOptions {
    fn default() -> Self {
        Self {
            name: "backend".to_owned(),
            server: Server::Gunicorn { workers: 1, threads: 4, class: WorkerClass::Threads },
            bind: Bind::Ipv4,
            stores: DatabaseRoute::Ipv4,
            environment: Vec::new(),
            arguments: Vec::new(),
        }
    }
}

/// A running backend.
#[derive(Debug)]
pub struct Backend {
    process: Process,
    address: Address,
    output: PathBuf,
}

impl Backend {
    pub(super) fn start(
        directory: &RunDirectory,
        mariadb: &MariaDb,
        redis: &Redis,
        options: &BackendOptions,
    ) -> Result<Self> {
        let address = match options.bind {
            Bind::Ipv4 => Address::Tcp((Ipv4Addr::LOCALHOST, free_port()?).into()),
            Bind::Ipv6 => Address::Tcp((Ipv6Addr::LOCALHOST, free_port()?).into()),
            Bind::All => Address::Tcp((Ipv6Addr::UNSPECIFIED, free_port()?).into()),
            Bind::Unix => Address::Unix(directory.socket(&options.name)),
        };
        let mut command = command(options, &address)?;
        command.current_dir(workspace::backend()).env("PYTHONDONTWRITEBYTECODE", "1");
        // The caller's own settings for the tracer are not the backend's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.envs(stores(options.stores, mariadb, redis)).envs(options.environment.iter().cloned());
        let mut process = Process::start(&options.name, command, directory.logs())?;
        process.wait_until(PATIENCE, || is_healthy(&address))?;
        Ok(Self { process, address, output: directory.logs().join(format!("{}.out", options.name)) })
    }

    /// The process id of gunicorn's master, or of Flask's server.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// When it does not accept one.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(&self.address)
    }

    /// One request without a body on a connection of its own.
    ///
    /// # Errors
    /// When the connection fails or the answer is not HTTP.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.connect()?.get(path)
    }

    /// One request with a JSON body on a connection of its own.
    ///
    /// # Errors
    /// When the connection fails or the answer is not HTTP.
    pub fn post(&self, path: &str, body: &serde_json::Value) -> Result<Response> {
        self.connect()?.post(path, body)
    }

    /// The file that holds its standard output: the application's log.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Ends it as an orchestrator would: SIGTERM, then SIGKILL when `patience` runs out.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        self.process.stop(patience)
    }
}

fn command(options: &BackendOptions, address: &Address) -> Result<Command> {
    let bin = workspace::virtualenv().join("bin");
    let python = bin.join("python");
    if !python.is_file() {
        bail!("the backend's Python environment is missing: run `cargo xtask setup`");
    }
    let mut command = Command::new(python);
    match options.server {
        Server::Gunicorn { workers, threads, class } => {
            let class = match class {
                WorkerClass::Sync => "sync",
                WorkerClass::Threads => "gthread",
                WorkerClass::Gevent => "gevent",
            };
            // Its control socket would lie in the user's home.
            command
                .args(["-m", "gunicorn", "--no-control-socket", "--worker-class", class])
                .args(["--workers", &workers.to_string(), "--threads", &threads.to_string()])
                .args(["--bind", &address.to_string()])
                .args(&options.arguments)
                .arg("app:app");
        }
        Server::Flask => {
            let Address::Tcp(socket) = address else { bail!("Flask's own server is run on TCP only") };
            command
                .args(["-m", "flask", "--app", "app", "run", "--with-threads"])
                .args(["--host", &socket.ip().to_string(), "--port", &socket.port().to_string()])
                .args(&options.arguments);
        }
    }
    Ok(command)
}

/// The environment that tells the backend where its stores are.
pub(super) fn stores(route: DatabaseRoute, mariadb: &MariaDb, redis: &Redis) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("DB_USER", mariadb::USER.to_owned()),
        ("DB_PASSWORD", mariadb::PASSWORD.to_owned()),
        ("DB_NAME", mariadb::DATABASE.to_owned()),
    ];
    let host = match route {
        DatabaseRoute::Ipv4 => "127.0.0.1",
        DatabaseRoute::Ipv6 => "::1",
        DatabaseRoute::Unix => {
            environment.push(("DB_SOCKET", mariadb.socket().display().to_string()));
            environment.push(("REDIS_SOCKET", redis.socket().display().to_string()));
            return environment;
        }
    };
    environment.push(("DB_HOST", host.to_owned()));
    environment.push(("DB_PORT", mariadb.port().to_string()));
    environment.push(("REDIS_HOST", host.to_owned()));
    environment.push(("REDIS_PORT", redis.port().to_string()));
    environment
}

fn is_healthy(address: &Address) -> bool {
    Client::connect(address)
        .and_then(|mut client| client.get("/healthz"))
        .is_ok_and(|answer| answer.status == 200)
}
