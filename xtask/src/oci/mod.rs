//! Container images as files: an OCI image layout
//! (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>) in one tar archive.

mod layer;
mod layout;

pub use layer::digest;
pub use layout::{Image, Layout};
