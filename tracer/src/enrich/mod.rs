//! Who a process is: the resource that its spans and log records carry.

use crate::span::Attribute;

/// An OTLP resource. Shared by everything that one process, or one container, sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Its attributes; `service.name` is always among them.
    pub attributes: Vec<Attribute>,
}
