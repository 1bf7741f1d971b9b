//! Pods: processes in cgroups named as the kubelet names them, in network, PID and mount namespaces of their own.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use xtask::process::Process;

/// How long a server in a pod may take to listen, and a cgroup to become empty.
const PATIENCE: Duration = Duration::from_secs(20);

/// The port of every pod's server: each has a network of its own.
const PORT: u16 = 8080;

/// The kubelet's place in the cgroup file system: everything below it is removed with it.
#[derive(Debug)]
pub struct Kubelet {
    root: PathBuf,
    systemd: bool,
    cri_o: bool,
}

impl Kubelet {
    /// With the systemd driver as kind has it, or the cgroupfs driver.
    ///
    /// # Panics
    /// When cgroups cannot be made.
    #[must_use]
    pub fn new(name: &str, systemd: bool) -> Self {
        let root = cgroup_mount().join(format!("tracer-test-{}-{name}", std::process::id()));
        let kubelet = Self { root, systemd, cri_o: false };
        fs::create_dir_all(kubelet.parent()).expect("cgroups can be made");
        kubelet
    }

    /// With CRI-O instead of containerd.
    #[must_use]
    pub fn with_cri_o(mut self) -> Self {
        self.cri_o = true;
        self
    }

    /// Where burstable pods are.
    fn parent(&self) -> PathBuf {
        let below = if self.systemd {
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice"
        } else {
            "kubepods/burstable"
        };
        self.root.join(below)
    }

    /// Makes a pod's cgroup, as the kubelet does before any container.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn pod(&self, uid: &str) -> PodSandbox {
        let name = if self.systemd {
            format!("kubelet-kubepods-burstable-pod{}.slice", uid.replace('-', "_"))
        } else {
            format!("pod{uid}")
        };
        let path = self.parent().join(name);
        fs::create_dir(&path).expect("a pod's cgroup");
        PodSandbox { path, systemd: self.systemd, cri_o: self.cri_o }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

/// A pod's cgroup. It is removed, with all in it, when it is dropped: what runs in it must have ended.
#[derive(Debug)]
pub struct PodSandbox {
    path: PathBuf,
    systemd: bool,
    cri_o: bool,
}

impl PodSandbox {
    /// Makes a container's cgroup.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn container(&self, id: &str) -> PathBuf {
        let runtime = if self.cri_o { "crio" } else { "cri-containerd" };
        let name = if self.systemd { format!("{runtime}-{id}.scope") } else { id.to_owned() };
        let mut path = self.path.join(name);
        fs::create_dir(&path).expect("a container's cgroup");
        if self.cri_o {
            // Its crun puts the processes one further down.
            path.push("container");
            fs::create_dir(&path).expect("a container's inner cgroup");
        }
        path
    }

    /// Starts the server of `tests/apps/pod.py` in a container of this id, with these variables.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, directory: &Path, name: &str, id: &str, environment: &[(&str, &str)]) -> Running {
        start_in(self.container(id), directory, name, environment)
    }

    /// Starts such a server where CRI-O has the container's monitor, conmon: in the pod's cgroup, but no container.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_monitor(&self, directory: &Path, name: &str, id: &str) -> Running {
        let suffix = if self.systemd { ".scope" } else { "" };
        let cgroup = self.path.join(format!("crio-conmon-{id}{suffix}"));
        fs::create_dir(&cgroup).expect("a monitor's cgroup");
        start_in(cgroup, directory, name, &[])
    }
}

/// Starts the server of `tests/apps/pod.py` in a cgroup, in namespaces of its own.
fn start_in(cgroup: PathBuf, directory: &Path, name: &str, environment: &[(&str, &str)]) -> Running {
    let enter = format!(
        "echo $$ > {}/cgroup.procs && exec unshare --net --mount --pid --fork --mount-proc --kill-child \
             sh -c 'ip link set lo up && exec \"$@\"' sh \"$@\"",
        cgroup.display()
    );
    let app = format!("{}/apps/pod.py", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("sh");
    command.args(["-c", &enter, "sh", "python3", "-u", &app, &PORT.to_string()]);
    command.envs(environment.iter().copied());
    let process = Process::start(name, command, directory).expect("a pod's process starts");
    let mut running = Running { process, cgroup };
    running.wait();
    running
}

impl Drop for PodSandbox {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A server in a container. It is killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    process: Process,
    cgroup: PathBuf,
}

impl Running {
    /// Sends `GET path` from inside of the pod's network, and tells the status line.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        self.get_as(path, "test")
    }

    /// As [`Self::get`], with this `User-Agent`.
    ///
    /// # Errors
    /// When the server does not answer.
    ///
    /// # Panics
    /// When a thread cannot enter the pod's network.
    pub fn get_as(&self, path: &str, agent: &str) -> std::io::Result<String> {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.process.id()))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: pod\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
        let exchange = move || {
            // SAFETY: a descriptor of a network namespace; it only moves this thread, which ends with this.
            if unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.lines().next().unwrap_or_default().to_owned())
        };
        thread::spawn(exchange).join().expect("a client does not panic")
    }

    /// The container's cgroup.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Until it listens: looked up in its network, so that no request is spent on it.
    fn wait(&mut self) {
        let table = format!("/proc/{}/net/tcp", self.process.id());
        let listening = format!(":{PORT:04X} 00000000:0000 0A");
        let listens = || fs::read_to_string(&table).is_ok_and(|table| table.contains(&listening));
        self.process.wait_until(PATIENCE, listens).expect("a pod's server listens");
    }
}

/// Where cgroup v2 is mounted.
///
/// # Panics
/// When it is not.
#[must_use]
pub fn cgroup_mount() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a mount of cgroup v2");
    line.split(' ').nth(4).expect("its place").into()
}

/// Removes a cgroup and those below it, once what ran in them is gone.
fn remove(path: &Path) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    let deadline = Instant::now() + PATIENCE;
    while path.exists() && fs::remove_dir(path).is_err() && Instant::now() < deadline {
        // What ran in it was killed a moment ago.
        thread::sleep(Duration::from_millis(5));
    }
}
