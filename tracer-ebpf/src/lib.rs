//! The wire format between the probe and user space: one definition, used by both.
//!
//! Every event in the ring buffer starts with a [`Header`]; its `kind` says which fixed part follows, and
//! captured bytes come after the fixed part. All fields are integers in the machine's byte order, padding is
//! explicit, and sizes are asserted, so that any byte pattern is a valid value of every type here. User space
//! turns the integers into enums when it decodes.
#![cfg_attr(not(test), no_std)]

pub mod config;
pub mod event;
pub mod hint;
pub mod limits;
pub mod loss;
pub mod runtime;

pub use config::ProbeConfig;
pub use event::{
    CgroupEvent, ConnectionEvent, ConnectionNote, DataEvent, Direction, EventKind, Family, Header,
    ProcessEvent, ProcessNote,
};
pub use loss::LossReason;
