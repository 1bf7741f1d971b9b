//! Loading the probe, attaching it, and telling it what is selected.

use std::fs;

use aya::maps::{HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::BtfTracePoint;
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, VerifierLogLevel};
use tracer_ebpf::config::{self, ProbeConfig, option};
use tracer_ebpf::runtime::{Runtime, WORDS};
use tracer_ebpf::{LossReason, limits};
use tracing::{Level, debug};

use super::attach::{self, AttachMode, Attached};
use super::btf::Btf;
use super::error::ProbeError;
use super::offsets;

/// Programs, beside those that see calls, and the tracepoints that they are attached to.
const TRACEPOINTS: [(&str, &str); 7] = [
    ("inet_sock_set_state", "inet_sock_set_state"),
    (attach::AGAIN, "inet_sock_set_state"),
    ("sched_process_fork", "sched_process_fork"),
    ("sched_process_exec", "sched_process_exec"),
    ("sched_process_exit", "sched_process_exit"),
    ("cgroup_mkdir", "cgroup_mkdir"),
    ("cgroup_rmdir", "cgroup_rmdir"),
];

/// Where every kernel with BTF shows it.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe"));

/// What can be chosen when the probe is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Bytes captured from the start of a call by default.
    pub head: u32,
    /// Bytes captured from the end of a longer call by default.
    pub tail: u32,
    /// Size of the ring buffer in bytes: rounded up to a power of two.
    pub ring_bytes: u32,
    /// Writes to logs are captured.
    pub logs: bool,
    /// All execs are told, because processes are selected by their executable.
    pub all_execs: bool,
    /// Which hook the calls are seen at.
    pub attach: AttachMode,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            head: limits::DEFAULT_HEAD,
            tail: limits::DEFAULT_TAIL,
            ring_bytes: 16 * 1024 * 1024,
            logs: true,
            all_execs: false,
            attach: AttachMode::Auto,
        }
    }
}

/// The loaded and attached probe. Dropping it, or the death of the process, detaches everything.
pub struct Probe {
    /// Absent once it is detached.
    ebpf: Option<Ebpf>,
    cgroups: HashMap<MapData, u64, u32>,
    processes: HashMap<MapData, u32, u32>,
    runtimes: HashMap<MapData, u32, [u64; WORDS]>,
    ports: HashMap<MapData, u16, u32>,
    log_inodes: HashMap<MapData, [u64; 2], u32>,
    windows: HashMap<MapData, u64, [u64; 2]>,
    port_windows: HashMap<MapData, u16, [u64; 2]>,
    losses: PerCpuArray<MapData, u64>,
    attached: Attached,
}

impl Probe {
    /// Loads the probe and attaches everything. Nothing is selected yet, so nothing is captured.
    ///
    /// # Errors
    /// When the kernel lacks something or refuses: see [`ProbeError`].
    pub fn load(options: &ProbeOptions) -> Result<(Self, RingBuf<MapData>), ProbeError> {
        let no_btf = |source| ProbeError::NoBtf { path: BTF_PATH.to_owned(), source };
        let kernel = Btf::parse(fs::read(BTF_PATH).map_err(no_btf)?)?;
        let config = configuration(&kernel, options)?;
        drop(kernel);
        let btf = AyaBtf::from_sys_fs().map_err(|error| no_btf(std::io::Error::other(error)))?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .verifier_log_level(verifier_log())
            .override_global("CONFIG", config.words(), true)
            .map_max_entries("EVENTS", options.ring_bytes.next_power_of_two())
            .load(OBJECT)
            .map_err(ProbeError::from_object)?;
        for (program, event) in TRACEPOINTS {
            tracepoint(&mut ebpf, program, event, &btf)?;
        }
        let attached = attach::calls(&mut ebpf, &btf, options.attach)?;
        debug!(hook = attached.hook(), "attached");
        let ring = RingBuf::try_from(take(&mut ebpf, "EVENTS")?).map_err(map_error("EVENTS"))?;
        let probe = Self {
            cgroups: hash(&mut ebpf, "CGROUPS")?,
            processes: hash(&mut ebpf, "PROCESSES")?,
            runtimes: hash(&mut ebpf, "RUNTIMES")?,
            ports: hash(&mut ebpf, "PORTS")?,
            log_inodes: hash(&mut ebpf, "LOG_INODES")?,
            windows: hash(&mut ebpf, "WINDOWS")?,
            port_windows: hash(&mut ebpf, "PORT_WINDOWS")?,
            losses: PerCpuArray::try_from(take(&mut ebpf, "LOSSES")?).map_err(map_error("LOSSES"))?,
            attached,
            ebpf: Some(ebpf),
        };
        Ok((probe, ring))
    }

    /// Selects a cgroup (by id) with what is made below it from now on.
    ///
    /// # Errors
    /// When the map is full.
    pub fn select_cgroup(&mut self, id: u64) -> Result<(), ProbeError> {
        self.cgroups.insert(id, 1, 0).map_err(map_error("CGROUPS"))
    }

    /// No longer traces what is in a cgroup. Those below it are to be taken out one by one.
    pub fn deselect_cgroup(&mut self, id: u64) {
        // Absent is what was wanted.
        let _ = self.cgroups.remove(&id);
    }

    /// Whether a cgroup is selected now, by itself or because it was made below one that was.
    #[must_use]
    pub fn selects_cgroup(&self, id: u64) -> bool {
        self.cgroups.get(&id, 0).is_ok()
    }

    /// Selected cgroups now.
    #[must_use]
    pub fn selected_cgroups(&self) -> u64 {
        self.cgroups.keys().filter(Result::is_ok).count() as u64
    }

    /// Selects a process and what it forks from now on.
    ///
    /// # Errors
    /// When the map is full.
    pub fn select_process(&mut self, tgid: u32) -> Result<(), ProbeError> {
        self.processes.insert(tgid, 1, 0).map_err(map_error("PROCESSES"))
    }

    /// No longer traces a process that was selected by its id.
    pub fn deselect_process(&mut self, tgid: u32) {
        // Absent is what was wanted.
        let _ = self.processes.remove(&tgid);
    }

    /// Tells how a process's runtime is read.
    ///
    /// # Errors
    /// When the map is full: the process has no evidence.
    pub fn set_runtime(&mut self, tgid: u32, runtime: &Runtime) -> Result<(), ProbeError> {
        self.runtimes.insert(tgid, runtime.words(), 0).map_err(map_error("RUNTIMES"))
    }

    /// A process's runtime is read no more.
    pub fn forget_runtime(&mut self, tgid: u32) {
        // Absent is what was wanted.
        let _ = self.runtimes.remove(&tgid);
    }

    /// Selects whoever begins to listen on a port.
    ///
    /// # Errors
    /// When the map is full.
    pub fn select_port(&mut self, port: u16) -> Result<(), ProbeError> {
        self.ports.insert(port, 1, 0).map_err(map_error("PORTS"))
    }

    /// Says of an inode whether it is a log. `dev` in the kernel's encoding.
    ///
    /// # Errors
    /// When the map is full: the inode stays a candidate, and each of its writes is asked about.
    pub fn set_log_inode(&mut self, dev: u64, ino: u64, is_log: bool) -> Result<(), ProbeError> {
        let state = if is_log { config::log_inode::LOG } else { config::log_inode::IGNORED };
        self.log_inodes.insert([ino, dev], state, 0).map_err(map_error("LOG_INODES"))
    }

    /// Forgets what an inode is.
    pub fn forget_log_inode(&mut self, dev: u64, ino: u64) {
        // Absent is what was wanted.
        let _ = self.log_inodes.remove(&[ino, dev]);
    }

    /// Captures more or less of each call on a connection; a head of 0 nothing.
    ///
    /// # Errors
    /// When the map refuses; the default window then stays.
    pub fn set_window(&mut self, sock: u64, ino: u64, head: u32, tail: u32) -> Result<(), ProbeError> {
        self.windows.insert(sock, window_words(ino, head, tail), 0).map_err(map_error("WINDOWS"))
    }

    /// Lets new connections from and to a server's port start with this window.
    ///
    /// # Errors
    /// When the map refuses; the default window then stays.
    pub fn set_port_window(&mut self, port: u16, head: u32, tail: u32) -> Result<(), ProbeError> {
        self.port_windows.insert(port, window_words(0, head, tail), 0).map_err(map_error("PORT_WINDOWS"))
    }

    /// Detaches every program: nothing more is captured. The maps stay.
    pub fn detach(&mut self) {
        self.ebpf = None;
    }

    /// What the probe lost so far, by reason, over all CPUs.
    #[must_use]
    pub fn losses(&self) -> Vec<(LossReason, u64)> {
        let sum = |reason: LossReason| {
            self.losses.get(&(reason as u32), 0).map_or(0, |values| values.iter().copied().sum::<u64>())
        };
        LossReason::ALL.iter().map(|reason| (*reason, sum(*reason))).collect()
    }

    /// Calls, and changes of TCP's state, that the kernel left out because the same program was running already.
    #[must_use]
    pub fn recursion_misses(&self) -> u64 {
        self.ebpf.as_ref().map_or(0, attach::recursion_misses)
    }

    /// How calls are seen: `tracepoint` or `fexit`.
    #[must_use]
    pub fn hook(&self) -> &'static str {
        self.attached.hook()
    }

    /// Name and number of verified instructions of each loaded program, where the kernel tells (5.16).
    #[must_use]
    pub fn verified_instructions(&self) -> Vec<(String, u32)> {
        let count = |(name, program): (&str, &aya::programs::Program)| {
            Some((name.to_owned(), program.info().ok()?.verified_instruction_count()?))
        };
        self.ebpf.iter().flat_map(Ebpf::programs).filter_map(count).collect()
    }
}

/// What the verifier tells of a program that it refuses: the reason, and with `TRACER_LOG=trace` every step to it.
/// The steps can be many megabytes, of which kernels before 6.4 keep the start, and each larger buffer that is tried
/// then takes another verification.
fn verifier_log() -> VerifierLogLevel {
    let steps =
        if tracing::enabled!(Level::TRACE) { VerifierLogLevel::DEBUG } else { VerifierLogLevel::empty() };
    steps | VerifierLogLevel::STATS
}

fn configuration(kernel: &Btf, options: &ProbeOptions) -> Result<ProbeConfig, ProbeError> {
    let mut config = ProbeConfig {
        own_tgid: std::process::id(),
        head: options.head.clamp(1, limits::HUGE_HEAD),
        tail: options.tail.min(limits::MAX_TAIL),
        wake_bytes: options.ring_bytes / 8,
        ..ProbeConfig::ZERO
    };
    if options.logs {
        config.options |= option::LOGS;
    }
    if options.all_execs {
        config.options |= option::ALL_EXECS;
    }
    offsets::resolve(kernel, &mut config)?;
    Ok(config)
}

fn tracepoint(ebpf: &mut Ebpf, name: &'static str, event: &str, btf: &AyaBtf) -> Result<(), ProbeError> {
    let error = |error| ProbeError::from_program(name, error);
    let program = ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
    let program: &mut BtfTracePoint = program.try_into().map_err(error)?;
    program.load(event, btf).map_err(error)?;
    program.attach().map_err(error)?;
    debug!(program = name, "attached");
    Ok(())
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, ProbeError> {
    ebpf.take_map(name).ok_or(ProbeError::Missing(name))
}

fn hash<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<HashMap<MapData, K, V>, ProbeError> {
    HashMap::try_from(take(ebpf, name)?).map_err(map_error(name))
}

fn map_error(name: &'static str) -> impl Fn(aya::maps::MapError) -> ProbeError {
    move |source| ProbeError::Map { name, source: Box::new(source) }
}

/// [`config::CaptureWindow`] as words: the inode, then head and tail in memory order.
fn window_words(ino: u64, head: u32, tail: u32) -> [u64; 2] {
    let mut pair = [0; 8];
    pair[..4].copy_from_slice(&head.to_ne_bytes());
    pair[4..].copy_from_slice(&tail.to_ne_bytes());
    [ino, u64::from_ne_bytes(pair)]
}
