//! Gaps.

use super::*;
