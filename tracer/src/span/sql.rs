//! SQL: sanitising and summary.
