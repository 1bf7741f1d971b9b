//! Why something is missing: one counter per reason and CPU, counted where the loss happens.

/// Index into the probe's per-CPU loss counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LossReason {
    /// The ring buffer was full: a data event (a gap follows in its stream).
    RingData = 0,
    /// The ring buffer was full: a log event.
    RingLog = 1,
    /// The ring buffer was full: a connection, process or cgroup event.
    RingControl = 2,
    /// A page of the application's buffer could not be read.
    UnreadablePage = 3,
    /// A call had more segments than the cap; the rest is a gap.
    IovecCap = 4,
    /// A 32-bit program's call was skipped.
    Compat = 5,
    /// The descriptor no longer named the socket that the call was made on.
    StaleDescriptor = 6,
    /// A table of the probe was full.
    TableFull = 7,
}

impl LossReason {
    /// Number of reasons, and of entries in the counters' map.
    pub const COUNT: u32 = 8;

    /// All reasons, in the order of their index.
    pub const ALL: [Self; Self::COUNT as usize] = [
        Self::RingData,
        Self::RingLog,
        Self::RingControl,
        Self::UnreadablePage,
        Self::IovecCap,
        Self::Compat,
        Self::StaleDescriptor,
        Self::TableFull,
    ];

    /// The reason's name in metrics and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingData => "ring_full_data",
            Self::RingLog => "ring_full_log",
            Self::RingControl => "ring_full_control",
            Self::UnreadablePage => "unreadable_page",
            Self::IovecCap => "iovec_cap",
            Self::Compat => "compat_syscall",
            Self::StaleDescriptor => "stale_descriptor",
            Self::TableFull => "table_full",
        }
    }
}
