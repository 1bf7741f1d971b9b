//! The running agent: it puts the probe, the pipeline and the exporters together, and ends them in order.

pub mod clock;
pub(crate) mod ending;
mod memory;
mod node;
pub mod own;
mod pods;
mod reader;
mod run;
mod runtimes;
mod sdk;

pub(crate) use run::lost;
pub use run::{RunError, run};
