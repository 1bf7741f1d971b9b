//! probe

pub mod targets;
