//! The kernel side of the agent: what is loaded, attached and told to the probe, and what it tells back.

pub mod btf;
pub mod offsets;
