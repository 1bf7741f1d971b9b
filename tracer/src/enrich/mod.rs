//! Who a process is: the resource that its spans and log records carry.

pub mod container;
#[cfg(test)]
pub(crate) mod fixture;
pub mod pod;
pub mod process;
pub mod resource;
pub mod sdk;
pub mod table;
pub mod variables;

pub use table::{ProcessKey, Resources};

use crate::span::{Attribute, Value};

/// An OTLP resource. Shared by everything that one process, or one container, sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Its attributes; `service.name` is always among them.
    pub attributes: Vec<Attribute>,
}

impl Resource {
    /// Its `service.name`; empty if it had none.
    #[must_use]
    pub fn service_name(&self) -> &str {
        let name = self.attributes.iter().find(|attribute| attribute.key == "service.name");
        match name.map(|attribute| &attribute.value) {
            Some(Value::Str(name)) => name,
            _ => "",
        }
    }
}
