//! The kernel side of the agent: what is loaded, attached and told to the probe, and what it tells back.

pub mod attach;
pub mod btf;
pub mod decode;
pub mod error;
pub mod load;
pub mod offsets;
pub mod runtime;
pub mod targets;

pub use attach::AttachMode;
pub use error::ProbeError;
pub use load::{Probe, ProbeOptions};
