//! What a user does wrong, and what a node lacks: a sentence on standard error, a code, and never a backtrace.
//!
//! The target of every run is this test's own process, which is a target like any other.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]
#![expect(clippy::expect_used, reason = "a test's own support fails by panicking, like the test")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take here: attaching is the slowest, where the kernel's verifier is.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at again.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[test]
fn wrong_usage_is_told_before_anything_is_loaded() {
    let directory = Directory::new("usage");
    let config = directory.path.join("bad.yaml");
    fs::write(&config, "port: [80]\nlgos: off\n").unwrap();
    let config = config.to_str().unwrap();
    for (arguments, words) in [
        (&["run"][..], "nothing is selected"),
        (&["run", "--prot", "80"], "unexpected argument '--prot'"),
        (&["run", "--port", "0"], "--port 0 is no port"),
        (&["run", "--port", "80", "--pod-selector", "app in x"], "is not a label selector"),
        (&["run", "--port", "80", "--route", "users"], "must begin with a slash"),
        (&["run", "--port", "80", "--export", "nowhere"], "give otlp, console or file:PATH"),
        (&["run", "--config", config], "lgos"),
    ] {
        let said = refusal(tracer().args(arguments));
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.text.contains(words), "{arguments:?}: {said:?}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let directory = Directory::new("absent");
    let missing = directory.path.join("missing/x.jsonl");
    let own = std::process::id().to_string();
    for (arguments, words) in [
        (vec!["--pid", "4194304"], "there is no process 4194304".to_owned()),
        (vec!["--cgroup", "/no/such/cgroup"], "there is no cgroup /no/such/cgroup".to_owned()),
        (
            vec!["--pid", &own, "--config", "/no/such/file.yaml"],
            "/no/such/file.yaml could not be read".to_owned(),
        ),
        (
            vec!["--pid", &own, "--export", &format!("file:{}", missing.display())],
            format!("cannot write to {}: No such file or directory", missing.display()),
        ),
        (
            vec!["--pid", &own, "--export", &format!("file:{}", directory.path.display())],
            format!("cannot write to {}: Is a directory", directory.path.display()),
        ),
    ] {
        let said = refusal(tracer().arg("run").args(&arguments));
        assert!(said.text.contains(&words), "{arguments:?}: {said:?}");
        said.assert_one_line();
    }
}

#[test]
fn a_variable_without_meaning_is_named() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector 4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ] {
        let said = refusal(run_on_own(&[]).args(["--export", "otlp"]).env(name, value));
        assert!(said.text.contains(name) && said.text.contains(value), "{said:?}");
        said.assert_one_line();
    }
}

#[test]
fn nobody_is_told_which_rights_are_missing() {
    // The build's directory need not be open to others.
    let directory = Directory::new("nobody");
    let copy = directory.path.join("tracer");
    fs::copy(program(), &copy).unwrap();
    for path in [&copy, &directory.path] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy);
    let said = refusal(command.args(["run", "--pid", &std::process::id().to_string()]));
    assert!(said.text.contains("CAP_BPF") && said.text.contains("run it as root"), "{said:?}");
    said.assert_one_line();
}

#[test]
fn root_without_the_capabilities_is_told_which() {
    let mut command = command("setpriv");
    command.args(["--bounding-set", "-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin", "--"]).arg(program());
    let said = refusal(command.args(["run", "--pid", &std::process::id().to_string()]));
    assert!(said.text.contains("lacks CAP_BPF,") && !said.text.contains("lacks CAP_PERFMON"), "{said:?}");
    said.assert_one_line();
}

#[test]
fn a_kernel_without_type_information_is_told() {
    let mut command = command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg("mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"").arg(program());
    let said = refusal(command.args(["run", "--pid", &std::process::id().to_string()]));
    assert!(said.text.contains("/sys/kernel/btf/vmlinux"), "{said:?}");
    assert!(said.text.contains("CONFIG_DEBUG_INFO_BTF"), "{said:?}");
    said.assert_one_line();
}

/// Some kernels have no trampolines. What else they offer is told; on others the tracer runs.
#[test]
fn fexit_is_refused_in_a_sentence_or_works() {
    let directory = Directory::new("fexit");
    let mut tracer = Running::start(run_on_own(&["--attach", "fexit"]), &directory);
    wait_until("it is ready or has ended", || tracer.said().contains("ready:") || tracer.has_ended());
    if tracer.has_ended() {
        let said = Refusal { code: tracer.wait().code().unwrap(), text: tracer.said() };
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.text.contains("fexit_") && said.text.contains("--attach tracepoint"), "{said:?}");
        said.assert_one_line();
    } else {
        println!("this kernel has fexit: its refusal was not seen");
        tracer.end();
    }
}

#[test]
fn sigterm_while_it_starts_is_a_clean_end() {
    let directory = Directory::new("early");
    let mut tracer = Running::start(run_on_own(&[]), &directory);
    wait_until("it catches signals", || catches_sigterm(tracer.child.id()) || tracer.has_ended());
    tracer.end();
    assert!(!tracer.said().contains("error:"), "{}", tracer.said());
}

#[test]
fn an_unreachable_collector_is_tried_again_and_never_ends_the_tracer() {
    let directory = Directory::new("collector");
    let address = free_address();
    let mut command = run_on_own(&["--export", "otlp"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let mut tracer = Running::start(command, &directory);
    wait_until("it is ready", || tracer.said().contains("ready:") || tracer.has_ended());
    exchange();
    wait_until("it says that the collector is not there", || {
        tracer.said().contains(&address.port().to_string()) || tracer.has_ended()
    });
    assert!(!tracer.has_ended(), "{}", tracer.said());
    let collector = TcpListener::bind(address).unwrap();
    accept_post(&collector);
    tracer.end();
    let said = tracer.said();
    assert!(said.contains("lost in the kernel: nothing"), "{said}");
}

#[test]
fn a_collector_that_never_comes_does_not_hold_up_the_end() {
    let directory = Directory::new("never");
    let mut command = run_on_own(&["--export", "otlp"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", free_address()));
    command.env("OTEL_BSP_EXPORT_TIMEOUT", "1000").env("OTEL_BLRP_EXPORT_TIMEOUT", "1000");
    let mut tracer = Running::start(command, &directory);
    wait_until("it is ready", || tracer.said().contains("ready:") || tracer.has_ended());
    exchange();
    let start = Instant::now();
    tracer.end();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}: {}", start.elapsed(), tracer.said());
}

/// How the tracer refused.
#[derive(Debug)]
struct Refusal {
    code: i32,
    text: String,
}

impl Refusal {
    fn assert_one_line(&self) {
        assert_eq!(self.text.trim_end().lines().count(), 1, "{self:?}");
    }
}

/// Runs to the end, which must be a refusal in words.
fn refusal(command: &mut Command) -> Refusal {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let said = Refusal { code: output.status.code().unwrap(), text };
    assert!([1, 2].contains(&said.code), "{said:?}");
    assert!(said.text.starts_with("error: "), "{said:?}");
    assert_no_backtrace(&said.text);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{said:?}");
    said
}

fn assert_no_backtrace(said: &str) {
    for word in ["panicked", "backtrace", "RUST_BACKTRACE", "   0: ", ".rs:"] {
        assert!(!said.contains(word), "{word:?} in {said}");
    }
}

fn program() -> PathBuf {
    PathBuf::from(std::env::var_os("TRACER_BIN").expect("$TRACER_BIN names the tracer's executable"))
}

/// A command with nothing of the caller's own settings, that would show a backtrace if it had one.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("TRACER_") {
            command.env_remove(&name);
        }
    }
    command.env("RUST_BACKTRACE", "1");
    command
}

fn tracer() -> Command {
    command(program())
}

/// `tracer run` on this test's own process.
fn run_on_own(arguments: &[&str]) -> Command {
    let mut command = tracer();
    command.args(["run", "--pid", &std::process::id().to_string()]).args(arguments);
    command
}

/// A tracer that may go on. It is killed when it is dropped.
struct Running {
    child: Child,
    stderr: PathBuf,
}

impl Running {
    fn start(mut command: Command, directory: &Directory) -> Self {
        let stderr = directory.path.join("stderr");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        Self { child: command.spawn().unwrap(), stderr }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn wait(&mut self) -> ExitStatus {
        wait_until("it has ended", || self.has_ended());
        self.child.wait().unwrap()
    }

    /// Asks it to end, which it must do well.
    fn end(&mut self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success(), "it has ended already: {}", self.said());
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{status}: {}", self.said());
        assert_no_backtrace(&self.said());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// Bit 14 of `SigCgt` in `proc(5)`'s status: signals are numbered from 1, and SIGTERM is 15.
fn catches_sigterm(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> 14 & 1 == 1)
}

/// An address that nobody listens on.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One HTTP exchange, both ends of it in this process.
fn exchange() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"GET /traced HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut request = [0; 256];
    assert!(server.read(&mut request).unwrap() > 0);
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    assert!(client.read(&mut request).unwrap() > 0);
}

/// A collector's part of one export over HTTP: it takes the post, and says that it has.
fn accept_post(listener: &TcpListener) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (&stream)
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
}

/// A directory that is removed with the test.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracer-errors-{}-{name}", std::process::id()));
        fs::create_dir_all(Path::new(&path)).unwrap();
        Self { path }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing hangs on it: it lies in the system's temporary directory.
        let _ = fs::remove_dir_all(&self.path);
    }
}
