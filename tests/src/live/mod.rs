//! What the live tests share: the tracer itself, run as its user runs it, and what it exported.
//!
//! ```text
//! let testbed = Testbed::start("capture")?;                        // xtask::testbed: real servers
//! let backend = testbed.backend(&BackendOptions::default())?;
//! let tracer = Tracer::start(testbed.directory(), &["--pid", &backend.id().to_string()]);
//! backend.get("/healthz")?;
//! let run = tracer.stop();                                         // SIGTERM; exit status 0 or panic
//! assert_eq!(run.telemetry.spans.len(), 1);
//! assert_eq!(run.lost_in_kernel(), Losses::default());
//! ```
//!
//! The tracer's own words lie beside the servers' logs, as `<name>.err` in the run's directory under
//! `target/testbed`, for an hour; `TRACER_LOG=debug` in the environment makes them many.
#![expect(clippy::expect_used, reason = "a tracer that cannot run is a failed test")]

mod attributes;
mod outcome;
mod telemetry;
mod tracer;

pub use attributes::{number, text, value};
pub use outcome::{Losses, Outcome};
pub use telemetry::Telemetry;
pub use tracer::{Tracer, TracerOptions};
