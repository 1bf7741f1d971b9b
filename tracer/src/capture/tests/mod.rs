//! Captures built from bytes, and what is made of them.

mod files;
mod random;
mod reassembly;
mod transcript;
mod wire;
