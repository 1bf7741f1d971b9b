//! The command line: arguments, environment and configuration file become one validated configuration.

pub mod selector;
