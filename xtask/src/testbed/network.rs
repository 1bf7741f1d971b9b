//! Pods on a node, as far as the network goes: each has a network namespace with one end of a veth pair, whose other end
//! is in the node's; the node forwards between them and translates addresses, as kube-proxy has it do.
//!
//! ```text
//!   pod 0  10.231.0.2 ──veth── 10.231.0.1 ┐
//!   pod 1  10.231.1.2 ──veth── 10.231.1.1 ├─ node: forwards, DNAT, masquerade
//!   pod 2  10.231.2.2 ──veth── 10.231.2.1 ┘
//! ```
//!
//! The node is a namespace too: this machine's own network is not touched. All of it goes with the processes that
//! hold the namespaces.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::run_directory::RunDirectory;
use crate::process::Process;
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(10);

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    holder: Process,
}

impl Namespace {
    fn create(directory: &RunDirectory, name: &str) -> Result<Self> {
        let mut command = Command::new(workspace::program("unshare")?);
        command.args(["--net", "sleep", "infinity"]);
        let mut holder = Process::start(name, command, directory.logs())?;
        let own =
            fs::read_link("/proc/self/ns/net").context("cannot tell this process's network namespace")?;
        let path = format!("/proc/{}/ns/net", holder.id());
        holder.wait_until(PATIENCE, || fs::read_link(&path).is_ok_and(|other| other != own))?;
        let namespace = Self { holder };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Does `work` on a thread in the namespace: its sockets, and the processes that it starts, belong to it.
    ///
    /// # Errors
    /// When the namespace cannot be entered (that takes root), or the work failed.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/proc/{}/ns/net", self.holder.id());
        let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let enter = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter a network namespace: this takes root")?;
            work()
        };
        thread::scope(|scope| {
            scope.spawn(enter).join().map_err(|_| anyhow!("work in a network namespace panicked"))?
        })
    }

    /// Has the packets that arrive at `device` handled by two processors, each connection's by one of them, whichever sent
    /// them (RPS: Documentation/networking/scaling.rst of the kernel).
    ///
    /// # Errors
    /// When the device is not there, or the machine has one processor.
    pub fn steer_packets(&self, device: &str) -> Result<()> {
        let steer =
            format!("mount -t sysfs sysfs /sys && echo 3 > /sys/class/net/{device}/queues/rx-0/rps_cpus");
        self.run(|| command("unshare", &["--mount", "sh", "-c", &steer]))
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        self.run(|| command("ip", arguments))
    }
}

/// A node and its pods.
#[derive(Debug)]
pub struct Network {
    node: Namespace,
    pods: Vec<Namespace>,
}

impl Network {
    /// A network of so many pods.
    ///
    /// # Errors
    /// Without root, or where programs are missing.
    pub fn create(directory: &RunDirectory, pods: u8) -> Result<Self> {
        let node = Namespace::create(directory, "node")?;
        node.run(|| Ok(fs::write("/proc/sys/net/ipv4/ip_forward", "1")?))?;
        let mut network = Self { node, pods: Vec::new() };
        for number in 0..pods {
            network.add(Namespace::create(directory, &format!("pod{number}"))?, number)?;
        }
        Ok(network)
    }

    fn add(&mut self, pod: Namespace, number: u8) -> Result<()> {
        let (own, gateway, veth) = (Self::address(number), Self::gateway(number), format!("veth{number}"));
        let holder = pod.holder.id().to_string();
        self.node.ip(&["link", "add", &veth, "type", "veth", "peer", "name", "eth0", "netns", &holder])?;
        self.node.ip(&["address", "add", &format!("{gateway}/24"), "dev", &veth])?;
        self.node.ip(&["link", "set", &veth, "up"])?;
        pod.ip(&["address", "add", &format!("{own}/24"), "dev", "eth0"])?;
        pod.ip(&["link", "set", "eth0", "up"])?;
        pod.ip(&["route", "add", "default", "via", &gateway.to_string()])?;
        self.pods.push(pod);
        Ok(())
    }

    /// A pod.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn pod(&self, number: u8) -> Result<&Namespace> {
        self.pods.get(usize::from(number)).ok_or_else(|| anyhow!("there is no pod {number}"))
    }

    /// A pod's address.
    pub fn address(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 231, number, 2)
    }

    /// The node's address on a pod's network.
    pub fn gateway(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 231, number, 1)
    }

    /// Gives services addresses of their own: what is sent to the first one goes to the second one (DNAT), and seems
    /// to come from the node (SNAT by masquerade).
    ///
    /// # Errors
    /// When the kernel cannot translate addresses, or `nft` is missing.
    pub fn translate(&self, services: &[(SocketAddrV4, SocketAddrV4)]) -> Result<()> {
        let rules: String = services
            .iter()
            .map(|(from, to)| format!("    ip daddr {} tcp dport {} dnat to {to}\n", from.ip(), from.port()))
            .collect();
        let table = format!(
            "table ip services {{\n  chain prerouting {{\n    type nat hook prerouting priority dstnat;\n{rules}  }}\n  \
             chain postrouting {{\n    type nat hook postrouting priority srcnat;\n    masquerade\n  }}\n}}\n"
        );
        self.node.run(|| command("nft", &[&table]))
    }

    /// Loses the first packet of each connection to the server, so that it is answered only after it was sent again: a
    /// second later (`TCP_TIMEOUT_INIT` in include/net/tcp.h).
    ///
    /// # Errors
    /// When the kernel cannot filter packets, or `nft` is missing.
    pub fn lose_first_packets(&self, server: SocketAddrV4) -> Result<()> {
        let (address, port) = (server.ip(), server.port());
        let table = format!(
            "table ip losses {{\n  set seen {{ type inet_service; flags dynamic; }}\n  chain forward {{\n    type \
             filter hook forward priority 0;\n    ip daddr {address} tcp dport {port} tcp flags syn tcp sport != \
             @seen add @seen {{ tcp sport }} drop\n  }}\n}}\n"
        );
        self.node.run(|| command("nft", &[&table]))
    }
}

fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(workspace::program(program)?)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} failed: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}
