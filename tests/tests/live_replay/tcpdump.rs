//! tcpdump on the loopback interface.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use xtask::process::Process;
use xtask::testbed::RunDirectory;

/// The last bytes of the capture, of no protocol.
const END: &[u8] = b"\0the end of the capture\0";

const PATIENCE: Duration = Duration::from_secs(20);

/// A running tcpdump.
pub struct Tcpdump {
    process: Process,
    file: PathBuf,
    said: PathBuf,
    /// Where the last bytes of the capture are sent to.
    end: TcpListener,
}

impl Tcpdump {
    /// Captures what has one of these ports, and waits until it does.
    ///
    /// # Panics
    /// When it cannot.
    pub fn start(directory: &RunDirectory, ports: &[u16]) -> Self {
        let file = directory.logs().join("loopback.pcap");
        let said = directory.logs().join("tcpdump.err");
        let end = TcpListener::bind("127.0.0.1:0").unwrap();
        let end_port = end.local_addr().unwrap().port();
        let ports = ports.iter().chain([&end_port]).map(|port| format!("port {port}"));
        let ports: Vec<String> = ports.collect();
        let mut command = Command::new("tcpdump");
        // The buffer holds all traffic of the test: nothing is lost however late tcpdump is.
        command.args([
            "-i",
            "lo",
            "--time-stamp-precision=nano",
            "-s",
            "0",
            "-B",
            "65536",
            "-U",
            "-Z",
            "root",
        ]);
        command.arg("-w").arg(&file).arg(format!("tcp and ({})", ports.join(" or ")));
        let mut process = Process::start("tcpdump", command, directory.logs()).unwrap();
        let is_ready = || fs::read_to_string(&said).is_ok_and(|said| said.contains("listening on"));
        process.wait_until(PATIENCE, is_ready).unwrap();
        Self { process, file, said, end }
    }

    /// Ends it once it has all packets so far, and gives the capture.
    ///
    /// # Panics
    /// When packets were lost.
    pub fn stop(mut self) -> PathBuf {
        let mut last = TcpStream::connect(self.end.local_addr().unwrap()).unwrap();
        last.write_all(END).unwrap();
        let file = self.file.clone();
        let has_end = || fs::read(&file).unwrap().windows(END.len()).any(|bytes| bytes == END);
        self.process.wait_until(PATIENCE, has_end).unwrap();
        assert!(self.process.stop(PATIENCE).unwrap().success());
        let said = fs::read_to_string(&self.said).unwrap();
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
        self.file
    }
}
