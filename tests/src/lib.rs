//! What the tests of several crates share.

pub mod live;
pub mod sink;
