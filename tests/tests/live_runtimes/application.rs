//! The applications of `tests/apps/oracle`, each under its server.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use xtask::http::Address;
use xtask::process::Process;
use xtask::testbed::{DatabaseRoute, Testbed, free_port};
use xtask::workspace;

use super::downstream::Downstream;
use super::load::{Mode, Plan};

/// How long a server may take to start, and background work to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether it has.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Names another interpreter than the virtual environment's, with the same packages.
const PYTHON: &str = "TRACER_TEST_PYTHON";

/// What serves the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// gunicorn: four workers of one thread.
    GunicornSync,
    /// gunicorn: a worker with eight threads.
    GunicornThreads,
    /// gunicorn: a worker with greenlets.
    Gevent,
    /// Flask's own server.
    Flask,
    /// The same, with an output that its threads write to by one buffer.
    FlaskBuffered,
    /// uvicorn on asyncio.
    Uvicorn,
    /// FastAPI on uvicorn.
    Fast(Fast),
    /// Node's own server.
    Node,
    /// The server of Go's `net/http`.
    Go,
    /// A stand-in for CPython, on glibc.
    Interpreter,
    /// The same on musl.
    MuslInterpreter,
}

/// How FastAPI serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// `asyncio`, or what uvicorn takes by itself where it is installed: `uvloop`.
    pub event_loop: &'static str,
    /// `functions` on worker threads, `coroutines`, or responses that a task of its own writes: `streams`.
    pub endpoints: &'static str,
    /// Middlewares, each of which has what is inside of it run in a task of its own.
    pub middlewares: usize,
}

impl Server {
    /// For the run's directory, and to be read.
    pub fn name(self) -> String {
        let name = match self {
            Self::Fast(Fast { event_loop, endpoints, middlewares }) => {
                return format!("fastapi-{event_loop}-{endpoints}-{middlewares}");
            }
            Self::GunicornSync => "gunicorn-sync",
            Self::GunicornThreads => "gunicorn-gthread",
            Self::Gevent => "gunicorn-gevent",
            Self::Flask => "flask-threaded",
            Self::FlaskBuffered => "flask-buffered",
            Self::Uvicorn => "uvicorn-asyncio",
            Self::Node => "node",
            Self::Go => "go",
            Self::Interpreter => "interpreter",
            Self::MuslInterpreter => "interpreter-musl",
        };
        name.to_owned()
    }

    /// Connections of each pool: fewer than requests at the same time.
    fn pool(self) -> usize {
        if self == Self::GunicornThreads { 4 } else { 8 }
    }

    /// Its processes whose runtime is read.
    pub fn runtimes(self) -> usize {
        match self {
            Self::GunicornSync => 5,
            Self::GunicornThreads | Self::Gevent => 2,
            Self::Flask
            | Self::FlaskBuffered
            | Self::Uvicorn
            | Self::Fast(_)
            | Self::Go
            | Self::Interpreter
            | Self::MuslInterpreter => 1,
            Self::Node => 0,
        }
    }

    fn command(self, port: u16) -> Command {
        let directory = workspace::apps().join("oracle");
        let python = env::var_os(PYTHON)
            .map_or_else(|| workspace::apps_virtualenv().join("bin/python"), PathBuf::from);
        let bind = format!("127.0.0.1:{port}");
        let port = port.to_string();
        let gunicorn = ["-m", "gunicorn", "--no-control-socket", "--bind", &bind];
        let uvicorn = ["-m", "uvicorn", "--no-access-log", "--port", &port];
        let mut command = Command::new(python);
        match self {
            Self::GunicornSync => {
                command.args(gunicorn).args(["--worker-class", "sync", "--workers", "4", "wsgi:app"])
            }
            Self::GunicornThreads => {
                command.args(gunicorn).args(["--worker-class", "gthread", "--threads", "8", "wsgi:app"])
            }
            Self::Gevent => command.args(gunicorn).args(["--worker-class", "gevent", "wsgi:app"]),
            Self::Flask | Self::FlaskBuffered => {
                command.args(["-m", "flask", "--app", "wsgi", "run", "--with-threads", "--port", &port])
            }
            Self::Uvicorn => command.args(uvicorn).args(["--loop", "asyncio", "asgi:app"]),
            Self::Fast(Fast { event_loop, endpoints, middlewares }) => {
                command.env("ENDPOINTS", endpoints).env("MIDDLEWARES", middlewares.to_string());
                // uvloop with the parser that uvicorn takes with it.
                let parser = if event_loop == "uvloop" { "httptools" } else { "h11" };
                command.args(uvicorn).args(["--loop", event_loop, "--http", parser, "fast:app"])
            }
            Self::Node => {
                command = Command::new(workspace::program("node").unwrap());
                command.env("NODE_PATH", workspace::clients_node().join("node_modules"));
                command.env("PORT", &port).arg("server.js")
            }
            Self::Go => {
                command = Command::new(go_program());
                command.env("PORT", &port)
            }
            Self::Interpreter | Self::MuslInterpreter => {
                command = Command::new(interpreter(self));
                command.env("PORT", &port)
            }
        };
        match self {
            Self::FlaskBuffered => command.env_remove("PYTHONUNBUFFERED"),
            _ => command.env("PYTHONUNBUFFERED", "1"),
        };
        command.current_dir(directory).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("POOL", self.pool().to_string()).env("OTEL_SERVICE_NAME", self.name());
        command
    }
}

/// Builds the application in Go, with the modules of Debian's packages.
fn go_program() -> PathBuf {
    let (source, target) = (workspace::apps().join("oracle/oracle.go"), workspace::target().join("apps/go"));
    let program = target.join("oracle");
    let mut command = Command::new(workspace::program("go").unwrap());
    command.arg("build").arg("-o").arg(&program).arg(source);
    command.envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOTOOLCHAIN", "local")]);
    let built = command.env("GOCACHE", target.join("cache")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

/// Builds the stand-in for an interpreter.
fn interpreter(server: Server) -> PathBuf {
    let program = workspace::target().join("apps").join(server.name());
    let compiler = if server == Server::MuslInterpreter { "musl-gcc" } else { "gcc" };
    let mut command = Command::new(workspace::program(compiler).unwrap());
    command.args(["-O1", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program);
    let built = command.arg(workspace::apps().join("oracle/interpreter.c")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

/// A running application.
#[derive(Debug)]
pub struct Application {
    process: Process,
    address: Address,
    output: PathBuf,
}

impl Application {
    /// Starts it, and waits until it accepts connections.
    ///
    /// # Panics
    /// When it does not; with its last words.
    pub fn start(testbed: &Testbed, downstream: &Downstream, server: Server) -> Self {
        let port = free_port().unwrap();
        let mut command = server.command(port);
        command.envs(testbed.stores(DatabaseRoute::Ipv4)).env("DOWNSTREAM", downstream.url());
        let logs = testbed.directory().logs();
        let mut process = Process::start(&server.name(), command, logs).unwrap();
        let address = Address::Tcp((Ipv4Addr::LOCALHOST, port).into());
        process.wait_until(PATIENCE, || address.connect().is_ok()).unwrap();
        Self { process, address, output: logs.join(format!("{}.out", server.name())) }
    }

    /// The process id, of gunicorn's master.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits until what nobody waits for is over, of which each request logs a line.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_for_background(&self, plan: &Plan) {
        let since = Instant::now();
        let done = || {
            let log = fs::read_to_string(&self.output).unwrap();
            log.lines().filter(|line| line.contains(" bgrq")).count() >= plan.count(Mode::Background)
        };
        while !done() {
            assert!(since.elapsed() < PATIENCE, "background work is missing in {}", self.output.display());
            thread::sleep(POLL_INTERVAL);
        }
    }
}
