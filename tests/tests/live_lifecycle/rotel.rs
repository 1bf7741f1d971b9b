//! Rotel, a collector that is not ours (the Python package `rotel` ships its executable).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use xtask::http::Address;
use xtask::process::Process;
use xtask::testbed::{RunDirectory, free_port};
use xtask::workspace;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running collector, which writes all that it takes to its standard output.
#[derive(Debug)]
pub struct Rotel {
    process: Process,
    output: PathBuf,
    /// Where it takes OTLP/gRPC.
    pub grpc: SocketAddr,
    /// Where it takes OTLP/HTTP.
    pub http: SocketAddr,
}

impl Rotel {
    /// Starts it on free ports. `name` is that of its output.
    pub fn start(directory: &RunDirectory, name: &str) -> Self {
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let (grpc, http) = (address(), address());
        let mut command = Command::new(executable());
        command
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log", "logs"])
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .arg("--pid-file")
            .arg(directory.data(&format!("{name}.pid")));
        let mut process = Process::start(name, command, directory.logs()).unwrap();
        let listens = |address| Address::Tcp(address).connect().is_ok();
        process.wait_until(PATIENCE, || listens(grpc) && listens(http)).unwrap();
        Self { process, output: directory.logs().join(format!("{name}.out")), grpc, http }
    }

    /// Ends it, and gives the names of all spans that it took and the number of its log records.
    pub fn stop(mut self) -> (Vec<String>, usize) {
        let _status = self.process.stop(PATIENCE).unwrap();
        let said = fs::read_to_string(&self.output).unwrap();
        let mut names: Vec<String> = said.lines().filter_map(span_name).map(str::to_owned).collect();
        names.sort();
        (names, said.lines().filter(|line| line.trim_start().starts_with("LogRecord #")).count())
    }
}

/// `    Name           : GET /healthz`
fn span_name(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(':')?;
    (key.starts_with("    ") && key.trim() == "Name").then(|| value.trim())
}

/// Beside the package's Python files, whichever version of Python that is.
fn executable() -> PathBuf {
    let versions = fs::read_dir(workspace::virtualenv().join("lib")).unwrap();
    let packages = versions.map(|version| version.unwrap().path().join("site-packages"));
    let mut executables = packages.map(|packages| packages.join("rotel/rotel-agent"));
    executables.find(|path| path.is_file()).expect("the test backend's Python environment has rotel")
}
