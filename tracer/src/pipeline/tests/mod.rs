//! The whole pipeline on scripted event sequences.

mod bindings;
mod connections;
mod exports;
pub(crate) mod line;
mod lines;
mod random;
pub(crate) mod script;
mod traces;
