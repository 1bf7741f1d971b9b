//! The whole pipeline on scripted event sequences.

mod bindings;
mod connections;
mod ends;
mod exports;
mod hops;
mod hostile;
mod incomplete;
mod inheriting;
mod late;
pub(crate) mod line;
mod lines;
mod migrating;
mod proxies;
mod random;
mod recordings;
pub(crate) mod script;
mod traces;
mod w3c;
