//! What the tests of several crates share.

pub mod kubernetes;
pub mod live;
pub mod sink;
