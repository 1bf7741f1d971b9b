//! Who a process is: the resource that its spans and log records carry.

pub mod container;
#[cfg(test)]
pub(crate) mod fixture;
pub mod process;
pub mod resource;
pub mod sdk;
pub mod table;
pub mod variables;

pub use table::{ProcessKey, Resources};

use crate::span::Attribute;

/// An OTLP resource. Shared by everything that one process, or one container, sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Its attributes; `service.name` is always among them.
    pub attributes: Vec<Attribute>,
}
