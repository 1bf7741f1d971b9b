//! What the agent tells of itself: health, readiness, metrics.

pub mod push;
pub mod samples;
pub mod server;
pub mod state;

pub use state::State;
