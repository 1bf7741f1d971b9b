//! correlate

mod continuation;
pub mod log_json;
pub mod log_line;
pub mod severity;
