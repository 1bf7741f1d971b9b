//! What the project's commands and its tests share: where things lie, and real servers to test against.

pub mod architecture;
pub mod http;
pub mod oci;
pub mod process;
pub mod testbed;
pub mod vm;
pub mod workspace;
