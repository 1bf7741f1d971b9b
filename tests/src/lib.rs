//! What the tests of several crates share.

pub mod dashboard;
pub mod kubernetes;
pub mod live;
pub mod manifest;
pub mod oci;
pub mod sink;
