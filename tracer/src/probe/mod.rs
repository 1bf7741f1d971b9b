//! probe

pub mod decode;
