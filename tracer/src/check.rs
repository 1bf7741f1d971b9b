//! `tracer check`: what this node offers and lacks, in words.
//!
//! The same judgement stops `tracer run` before it tries what cannot work: see [`require`].

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::enrich::process::{Proc, read_capped};
use crate::probe::runtime::{Locator, Unread};
use crate::probe::targets::CgroupMount;

/// Most bytes read of the small files here.
const MAX_FILE: u64 = 64 * 1024;

/// The oldest kernel that the probe has been tried on.
const OLDEST_KERNEL: (u32, u32) = (5, 10);

/// From this kernel on locked memory is counted by cgroup, and CAP_SYS_RESOURCE is of no use.
const MEMCG_KERNEL: (u32, u32) = (5, 11);

/// The initial pid and user namespaces (`<linux/proc_ns.h>`).
const INITIAL_PID: &str = "pid:[4026531836]";
const INITIAL_USER: &str = "user:[4026531837]";

/// Numbers of `<linux/capability.h>`.
mod capability {
    pub(super) const DAC_OVERRIDE: u32 = 1;
    pub(super) const DAC_READ_SEARCH: u32 = 2;
    pub(super) const SYS_PTRACE: u32 = 19;
    pub(super) const SYS_ADMIN: u32 = 21;
    pub(super) const SYS_RESOURCE: u32 = 24;
    pub(super) const PERFMON: u32 = 38;
    pub(super) const BPF: u32 = 39;
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Tracing works, with less.
    Degraded,
    /// Tracing does not work.
    Missing,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// A short name that stays the same: `btf`, `capabilities`.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found, in a sentence.
    pub finding: String,
    /// What to do about it.
    pub remedy: Option<&'static str>,
}

impl Item {
    fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, state: State::Ok, finding: finding.into(), remedy: None }
    }

    fn degraded(name: &'static str, finding: impl Into<String>, remedy: &'static str) -> Self {
        Self { name, state: State::Degraded, finding: finding.into(), remedy: Some(remedy) }
    }

    fn missing(name: &'static str, finding: impl Into<String>, remedy: &'static str) -> Self {
        Self { name, state: State::Missing, finding: finding.into(), remedy: Some(remedy) }
    }
}

impl fmt::Display for Item {
    /// The sentence, as `run` says it too: finding, then remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.finding)?;
        self.remedy.map_or(Ok(()), |remedy| write!(f, ": {remedy}"))
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst state of any item.
    pub state: State,
    /// Kernel release.
    pub kernel: String,
    /// Architecture of the tracer.
    pub arch: &'static str,
    /// The items.
    pub items: Vec<Item>,
}

impl Report {
    /// 0 when tracing works, fully or with less; 1 when it does not.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.state == State::Missing)
    }

    /// Looks at the language runtimes of processes too.
    pub fn add_runtimes(&mut self, node: &Node, pids: &[u32]) {
        let mut locator = Locator::default();
        self.items.extend(pids.iter().map(|pid| runtime(node, &mut locator, *pid)));
        self.state = self.items.iter().map(|item| item.state).max().unwrap_or(State::Ok);
    }

    /// The report as one JSON object.
    ///
    /// # Errors
    /// Never in practice: the report holds nothing that JSON cannot.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{:<9} {:<13} {}", item.state.to_string(), item.name, item.finding)?;
            if let Some(remedy) = item.remedy {
                writeln!(f, "{:<23} → {remedy}", "")?;
            }
        }
        f.write_str(match self.state {
            State::Ok => "This node can be traced.",
            State::Degraded => "This node can be traced, with the limits above.",
            State::Missing => "This node cannot be traced until what is missing is there.",
        })
    }
}

/// Where to look. Tests choose their own.
#[derive(Clone, Debug)]
pub struct Node {
    /// The proc file system.
    pub proc: Proc,
    /// The sys file system.
    pub sys: PathBuf,
}

impl Default for Node {
    fn default() -> Self {
        Self { proc: Proc::default(), sys: "/sys".into() }
    }
}

/// Something without which tracing cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lacking(pub Item);

/// What must be there before the probe is loaded.
///
/// # Errors
/// The first item that is missing; its sentence says what to do.
pub fn require(node: &Node) -> Result<(), Lacking> {
    match report(node).items.into_iter().find(|item| item.state == State::Missing) {
        Some(item) => Err(Lacking(item)),
        None => Ok(()),
    }
}

/// What tracing works with less for. Not cgroups: a selection that needs them tells by itself.
#[must_use]
pub fn degraded(node: &Node) -> Vec<Item> {
    let items = report(node).items.into_iter();
    items.filter(|item| item.state == State::Degraded && item.name != "cgroup").collect()
}

/// Looks at everything.
#[must_use]
pub fn report(node: &Node) -> Report {
    let release = line(&node.proc, "sys/kernel/osrelease").unwrap_or_default();
    let version = version(&release);
    let items = vec![
        kernel(&release, version),
        architecture(),
        capabilities(node, version),
        processes(node),
        btf(node),
        lockdown(node),
        pid_namespace(node),
        cgroups(node),
        perf_events(node),
        unprivileged(node),
    ];
    let state = items.iter().map(|item| item.state).max().unwrap_or(State::Ok);
    Report { state, kernel: release, arch: std::env::consts::ARCH, items }
}

fn runtime(node: &Node, locator: &mut Locator, pid: u32) -> Item {
    const NAME: &str = "runtime";
    if !node.proc.exists(pid) {
        return Item::degraded(NAME, format!("there is no process {pid}"), "name one that runs");
    }
    match locator.locate(&node.proc, pid) {
        Ok(found) => Item::ok(NAME, format!("process {pid} runs {}", found.language)),
        Err(error @ Unread::NotPython) => Item::ok(NAME, format!("process {pid}: {error}")),
        Err(error) => Item::degraded(
            NAME,
            format!("process {pid} serves without runtime evidence: {error}"),
            "where its threads serve several requests at once, calls have no parents",
        ),
    }
}

fn kernel(release: &str, version: Option<(u32, u32)>) -> Item {
    let (major, minor) = OLDEST_KERNEL;
    match version {
        Some(version) if version >= OLDEST_KERNEL => Item::ok("kernel", format!("The kernel is {release}.")),
        Some(_) => Item::missing(
            "kernel",
            format!("The kernel is {release}, older than {major}.{minor}"),
            "boot a newer kernel",
        ),
        None => Item::degraded("kernel", "The kernel's release is not known", "mount /proc"),
    }
}

fn architecture() -> Item {
    match std::env::consts::ARCH {
        arch @ ("x86_64" | "aarch64") => Item::ok("arch", format!("The architecture is {arch}.")),
        arch => Item::missing("arch", format!("The architecture is {arch}"), "use x86_64 or aarch64"),
    }
}

/// Without these the kernel loads no probe.
fn capabilities(node: &Node, version: Option<(u32, u32)>) -> Item {
    const NAME: &str = "capabilities";
    let Some(held) = effective_capabilities(&node.proc) else {
        return Item::missing(NAME, "The tracer's own capabilities could not be read", "mount /proc");
    };
    if own_link(&node.proc, "ns/user").is_some_and(|namespace| namespace != INITIAL_USER) {
        return Item::missing(
            NAME,
            "The tracer runs in a user namespace, where no capability lets it load a probe",
            "run it as root outside of the user namespace (hostUsers: true in Kubernetes)",
        );
    }
    let has = |number: u32| held >> number & 1 == 1;
    let admin = has(capability::SYS_ADMIN);
    let lacks: Vec<&str> = [("CAP_BPF", capability::BPF), ("CAP_PERFMON", capability::PERFMON)]
        .into_iter()
        .filter(|(_, number)| !admin && !has(*number))
        .map(|(name, _)| name)
        .collect();
    if !lacks.is_empty() {
        return Item::missing(
            NAME,
            format!("The tracer lacks {}, without which the kernel loads no probe", lacks.join(" and ")),
            "run it as root, or give it CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        );
    }
    if version.is_some_and(|version| version < MEMCG_KERNEL) && !has(capability::SYS_RESOURCE) {
        return Item::degraded(
            NAME,
            "The tracer lacks CAP_SYS_RESOURCE, which this kernel wants for the memory of maps",
            "give it CAP_SYS_RESOURCE, or raise the limit on locked memory",
        );
    }
    let which = if admin { "CAP_SYS_ADMIN" } else { "CAP_BPF and CAP_PERFMON" };
    Item::ok(NAME, format!("The tracer may load probes ({which})."))
}

/// Without these it does not know processes of other users.
fn processes(node: &Node) -> Item {
    const NAME: &str = "processes";
    let held = effective_capabilities(&node.proc).unwrap_or(0);
    let has = |number: u32| held >> number & 1 == 1;
    let reads = has(capability::DAC_READ_SEARCH) || has(capability::DAC_OVERRIDE);
    let lacks = match (has(capability::SYS_PTRACE), reads) {
        (true, true) => {
            return Item::ok(
                NAME,
                "The tracer may read processes of other users (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH).",
            );
        }
        (false, true) => "CAP_SYS_PTRACE",
        (true, false) => "CAP_DAC_READ_SEARCH",
        (false, false) => "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
    };
    Item::degraded(
        NAME,
        format!(
            "The tracer lacks {lacks}: it cannot read the environment and descriptors of other users' processes"
        ),
        "give it these, or targets of other users have neither the name that they give themselves nor logs",
    )
}

fn btf(node: &Node) -> Item {
    let path = node.sys.join("kernel/btf/vmlinux");
    let remedy =
        "use a kernel built with CONFIG_DEBUG_INFO_BTF (those of current distributions are), and mount /sys";
    match read_capped(&path, 2) {
        // The magic number of BTF in either byte order.
        Ok(magic) if magic == [0x9f, 0xeb] || magic == [0xeb, 0x9f] => {
            Item::ok("btf", "The kernel describes its types (BTF).")
        }
        Ok(_) => Item::missing("btf", format!("{} does not hold BTF", path.display()), remedy),
        Err(error) => Item::missing(
            "btf",
            format!("The kernel's description of its types, {}, cannot be read ({error})", path.display()),
            remedy,
        ),
    }
}

fn lockdown(node: &Node) -> Item {
    let modes = read_text(&node.sys.join("kernel/security/lockdown")).unwrap_or_default();
    let mode = modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(mode, _)| mode);
    match mode {
        Some("confidentiality") => Item::missing(
            "lockdown",
            "The kernel is locked down for confidentiality, so probes may not read its memory",
            "boot with lockdown=integrity, or without lockdown",
        ),
        Some(mode) => Item::ok(
            "lockdown",
            format!("The kernel's lockdown is \"{mode}\", which the probe can live with."),
        ),
        None => Item::ok("lockdown", "The kernel is not locked down, as far as it shows."),
    }
}

fn pid_namespace(node: &Node) -> Item {
    const NAME: &str = "pid-namespace";
    match own_link(&node.proc, "ns/pid") {
        Some(namespace) if namespace != INITIAL_PID => Item::missing(
            NAME,
            "The tracer runs in a pid namespace of its own, where the kernel's process ids mean nothing",
            "run it outside of a container, or with hostPID: true in Kubernetes",
        ),
        Some(_) => Item::ok(NAME, "The tracer sees the processes of the whole node."),
        None => Item::degraded(NAME, "The tracer's pid namespace could not be read", "mount /proc"),
    }
}

fn cgroups(node: &Node) -> Item {
    match CgroupMount::find(&node.proc) {
        Ok(mount) => Item::ok("cgroup", format!("cgroup v2 is mounted at {}.", mount.point().display())),
        Err(error) => Item::degraded(
            "cgroup",
            format!("Selection by cgroup does not work ({error})"),
            "select by --pid, --exe or --port, or mount cgroup v2",
        ),
    }
}

/// Told because other tracers depend on it.
fn perf_events(node: &Node) -> Item {
    let level = line(&node.proc, "sys/kernel/perf_event_paranoid").unwrap_or_else(|| "not set".to_owned());
    Item::ok("perf-events", format!("perf_event_paranoid is {level}; the tracer does not use perf events."))
}

fn unprivileged(node: &Node) -> Item {
    let finding = match line(&node.proc, "sys/kernel/unprivileged_bpf_disabled").as_deref() {
        Some("0") => "Any user may load simple BPF programs; the tracer does not depend on it.",
        Some(_) => "Only privileged users may load BPF programs, as is usual.",
        None => {
            "The kernel does not say whether any user may load BPF programs; the tracer does not depend on it."
        }
    };
    Item::ok("unprivileged", finding)
}

/// Major and minor number of a kernel release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn effective_capabilities(proc: &Proc) -> Option<u64> {
    let bytes = read_capped(&proc.root().join("self/status"), MAX_FILE).ok()?;
    crate::enrich::process::Status::parse(&bytes).map(|status| status.effective_capabilities)
}

fn own_link(proc: &Proc, file: &str) -> Option<String> {
    let link = std::fs::read_link(proc.root().join("self").join(file)).ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn line(proc: &Proc, file: &str) -> Option<String> {
    Some(read_text(&proc.root().join(file))?.trim().to_owned())
}

fn read_text(path: &std::path::Path) -> Option<String> {
    String::from_utf8(read_capped(path, MAX_FILE).ok()?).ok()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
