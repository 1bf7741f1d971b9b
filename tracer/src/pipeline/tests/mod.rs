//! The whole pipeline on scripted event sequences.

mod bindings;
mod connections;
pub(crate) mod line;
mod lines;
pub(crate) mod script;
mod traces;
